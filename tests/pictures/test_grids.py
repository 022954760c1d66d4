"""Pictures, opened again and compared pixel by pixel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from jaxgen.pictures import grids


def test_a_grid_holds_each_image_in_its_place():
    images = np.random.default_rng(0).uniform(size=(5, 4, 6, 3))
    picture = grids.grid(images, num_columns=3, scale=2)
    assert picture.shape == (2 * (4 + 2 + 4), 2 * (6 + 2 + 6 + 2 + 6), 3)
    for i, (top, left) in enumerate([(0, 0), (0, 16), (0, 32), (12, 0), (12, 16)]):
        place = picture[top : top + 8, left : left + 12]
        assert_allclose(place, images[i].repeat(2, axis=0).repeat(2, axis=1))
        place[:] = 1
    assert (picture == 1).all()  # gaps and the place that is left over are white


@pytest.mark.parametrize("num", [1, 2])
def test_gray_images_become_gray_pictures(num):
    images = np.linspace(0, 1, num * 16).reshape(num, 4, 4, 1)
    picture = grids.grid(images, num_columns=1, scale=1)
    assert_allclose(picture[-4:], np.repeat(images[-1], 3, axis=-1))


def test_beside_pairs_images_up():
    left, right = np.random.default_rng(0).uniform(size=(2, 3, 4, 5, 1))
    pairs = grids.interleave(left, right)
    assert_array_equal(pairs[0::2], left)
    assert_array_equal(pairs[1::2], right)


def test_a_saved_picture_is_the_picture(tmp_path):
    """Rounded to 8 bits, and clipped."""
    picture = np.random.default_rng(0).uniform(-0.5, 1.5, (7, 9, 3))
    grids.save(tmp_path / "picture.png", picture)
    with Image.open(tmp_path / "picture.png") as saved:
        assert (saved.format, saved.mode, saved.size) == ("PNG", "RGB", (9, 7))
        pixels = np.asarray(saved)
    assert_allclose(pixels, 255 * picture.clip(0, 1), rtol=0, atol=0.5)


def test_an_animation_shows_the_pictures_in_their_order(tmp_path):
    paths = [tmp_path / f"{gray}.png" for gray in (0.0, 0.5, 1.0)]
    for path in paths:
        grids.save(path, np.full((8, 8, 3), float(path.stem)))
    grids.animate(tmp_path / "all.gif", iter(paths), milliseconds=150)
    grays, durations = [], []
    with Image.open(tmp_path / "all.gif") as animation:
        assert animation.info["loop"] == 0  # for ever
        for frame in range(animation.n_frames):  # pyright: ignore[reportAttributeAccessIssue]
            animation.seek(frame)
            grays.append(np.asarray(animation.convert("L")).mean())
            durations.append(animation.info["duration"])
    assert_allclose(grays, [0, 127, 255], atol=2)
    assert durations == [150, 150, 2000]


def test_names_stand_beside_their_rows():
    images = np.full((6, 16, 16, 1), 0.5)
    grid = grids.grid(images, num_columns=2)
    named = grids.with_names(grid, ["cat", "", "a name that is longer than there is room for"])
    width = named.shape[1] - grid.shape[1]
    assert_array_equal(named[:, width:], grid)
    rows = np.array_split(named[:, :width], 3)
    inked = [(row < 0.5).any() for row in rows]
    assert inked == [True, False, True]
    assert width < 250


def test_small_rows_have_small_names():
    """So that the names of a grid of small images do not run into each other."""
    grid = grids.grid(np.full((4, 4, 4, 3), 0.5), num_columns=1, scale=1)
    named = grids.with_names(grid, ["Ig", "", "", "Ig"])
    ink = np.min(named[:, : named.shape[1] - grid.shape[1]], axis=(1, 2)) < 0.9
    assert not ink[8:14].any()
    assert ink[:6].any()
