"""Conversions against NumPy in float64, and padding pixel by pixel."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import pixels
from jaxgen.errors import InputError

ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        (pixels.to_unit, np.arange(256) / 255.0),
        (pixels.to_symmetric, np.arange(256) / 255.0 * 2 - 1),
    ],
)
def test_each_value_is_mapped_to_its_place_in_the_range(convert, expected):
    converted = convert(jnp.asarray(ALL_VALUES))
    assert converted.dtype == jnp.float32
    np.testing.assert_allclose(converted.ravel(), expected, rtol=0, atol=2e-7)
    assert (converted.min(), converted.max()) == (expected[0], 1)  # both ends are exact


def test_symmetric_to_unit():
    x = np.linspace(-1, 1, 101).reshape(1, 101, 1, 1)
    np.testing.assert_allclose(
        pixels.symmetric_to_unit(jnp.asarray(x, jnp.float32)), x / 2 + 0.5, rtol=0, atol=1e-7
    )


@pytest.mark.parametrize(
    "to_range_and_back",
    [pixels.to_unit, lambda image: pixels.symmetric_to_unit(pixels.to_symmetric(image))],
    ids=["unit", "symmetric"],
)
def test_all_values_survive_the_round_trip(to_range_and_back):
    image = np.asarray(to_range_and_back(jnp.asarray(ALL_VALUES)))
    back = pixels.to_uint8(image)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, ALL_VALUES)


def test_values_are_rounded_to_the_nearest():
    x = np.random.default_rng(0).uniform(0, 1, (2, 3, 50, 50, 3))
    levels = np.arange(256) / 255.0
    distance = np.abs(x - levels[pixels.to_uint8(x)])
    nearest = np.abs(x[..., None] - levels).min(axis=-1)
    np.testing.assert_allclose(distance, nearest, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("x", "expected"), [(-0.3, 0), (-np.inf, 0), (1.004, 255), (np.inf, 255)])
def test_values_outside_are_clipped(x, expected):
    assert pixels.to_uint8(np.full((1, 1, 1), x)) == expected


@pytest.mark.parametrize(
    ("shape", "size", "top_left"),
    [
        ((3, 28, 28, 1), 32, (2, 2)),
        ((2, 5, 8, 3), 8, (1, 0)),
        ((2, 5, 6, 1), 9, (2, 1)),  # of an odd margin the larger half is below and to the right
        ((1, 8, 8, 1), 8, (0, 0)),
    ],
)
def test_padding_is_lossless_and_centered(shape, size, top_left):
    image = np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)
    padded = pixels.pad_to(image, size)
    (num, height, width, channels), (top, left) = shape, top_left
    assert padded.shape == (num, size, size, channels)
    assert padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[:, top : top + height, left : left + width], image)
    assert np.count_nonzero(padded) == image.size  # all around is black


@pytest.mark.parametrize("shape", [(1, 33, 32, 1), (1, 32, 33, 1)])
def test_larger_images_are_refused_with_the_size_that_they_need(shape):
    message = rf"{shape[1]}x{shape[2]} pixels do not fit --image-size 32: .* at least 33"
    with pytest.raises(InputError, match=message):
        pixels.pad_to(np.zeros(shape, np.uint8), 32)


def test_binarization_noise_is_the_share_of_variance_that_sampling_adds():
    random = np.random.default_rng(0)
    image = random.choice([0, 0, 0, 90, 255, 255], (50, 8, 8, 1)).astype(np.uint8)
    p = image / 255
    draws = random.random((2000, *p.shape)) < p
    total, within = draws.var(), draws.var(axis=0).mean()
    np.testing.assert_allclose(pixels.binarization_noise(image), within / total, rtol=0.01)


@pytest.mark.parametrize(("values", "share"), [([0, 255], 0), ([127, 127], 1), ([0, 0], 0)])
def test_binarization_noise_of_black_and_white_and_of_gray(values, share):
    image = np.uint8(values).reshape(1, 1, 2, 1)
    assert pixels.binarization_noise(image) == pytest.approx(share, abs=1e-6)
