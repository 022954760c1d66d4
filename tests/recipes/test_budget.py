"""The default length of a run: whichever limit is reached first."""

import pytest

from jaxgen.recipes.recipe import Budget


@pytest.mark.parametrize(
    ("num_images", "size", "epochs"),
    [
        (1_000, 32, 25),  # limited by the epochs
        (60_000, 32, 5),  # limited by the images seen
        (4_000, 64, 18),  # four times the area, a quarter of the images
        (60_000, 28, 6),
        (10_000_000, 32, 1),
    ],
)
def test_the_first_limit_to_be_reached_counts(num_images, size, epochs):
    assert Budget(25, 300_000).epochs(num_images, (size, size, 3)) == epochs
