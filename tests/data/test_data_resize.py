"""Sizes, shapes and channels of images, against pixels counted by hand."""

import numpy as np
import photos
import pytest
from PIL import Image

from jaxgen.data.resize import Preparation, prepare_arrays, prepare_file, resize
from jaxgen.errors import InputError


def thirds(width, height):
    """A picture with a red, a green and a blue third, from left to right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for third in range(3):
        pixels[:, third * width // 3 : (third + 1) * width // 3, third] = 255
    return Image.fromarray(pixels)


def test_crop_takes_the_largest_square_in_the_middle():
    square = np.asarray(resize(thirds(300, 100), 10, "crop"))
    np.testing.assert_array_equal(square, np.full((10, 10, 3), (0, 255, 0)))
    tall = thirds(300, 100).transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(np.asarray(resize(tall, 10, "crop")), square)


def test_stretch_takes_all_of_it():
    square = np.asarray(resize(thirds(300, 100), 9, "stretch"))
    for third in range(3):
        np.testing.assert_array_equal(
            square[:, 3 * third + 1], np.tile(np.eye(3)[third] * 255, (9, 1))
        )


def test_pad_shrinks_to_fit_and_centers_in_black():
    square = np.asarray(resize(thirds(300, 100), 30, "pad"))
    assert not square[:10].any()
    assert not square[20:].any()
    assert (square[10:20].max(axis=-1) > 100).all()
    assert square[15, 1].tolist() == [255, 0, 0]


def test_pad_leaves_small_images_as_they_are():
    image = photos.noise(0, 5, 8)
    square = np.asarray(resize(image, 11, "pad"))
    np.testing.assert_array_equal(square[3:8, 1:9], np.asarray(image))
    assert np.count_nonzero(square.any(-1)) <= 40


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 500), (500, 1), (7, 3)])
def test_any_shape_becomes_a_square(how, size):
    for image in (photos.noise(0, *size), photos.noise(0, *size).convert("L")):
        assert resize(image, 16, how).size == (16, 16)


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_an_image_of_the_right_size_is_unchanged(how):
    image = photos.noise(0)
    np.testing.assert_array_equal(np.asarray(resize(image, 24, how)), np.asarray(image))


@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_fine_pattern_becomes_grey_and_not_coarse(period):
    """The zone plate's test: what is too fine for the result must vanish, not alias."""
    stripes = (np.arange(960) % period < period / 2).astype(np.uint8) * 255
    image = Image.fromarray(np.tile(stripes, (960, 1)))
    small = np.asarray(resize(image, 70, "crop"), float)[:, 3:-3]
    assert small.std() < 2
    np.testing.assert_allclose(small.mean(), stripes.mean(), atol=2)


def test_scaling_agrees_with_the_mean_over_blocks():
    image = photos.noise(0, 8, 8).resize((256, 256), Image.Resampling.BICUBIC)
    small = np.asarray(resize(image, 32, "crop"), float)
    blocks = np.asarray(image, float).reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    assert np.abs(small - blocks).mean() < 3


def test_files_are_cropped_unless_another_way_is_given():
    contents = photos.encode(thirds(300, 100))
    assert prepare_file(contents, Preparation(6, 3)).tolist() == [[[0, 255, 0]] * 6] * 6
    assert prepare_file(contents, Preparation(6, 3, "stretch"))[0, 0, 0] > 200
    assert prepare_file(contents, Preparation(None, 1)).shape == (100, 300, 1)


def test_arrays_are_padded_unless_another_way_is_given():
    image = np.full((2, 4, 4, 1), 7, np.uint8)
    padded = prepare_arrays(list(image), Preparation(6), None)
    assert padded.shape == (2, 6, 6, 1)
    assert padded.sum() == image.sum()
    assert (prepare_arrays(list(image), Preparation(6, None, "crop"), "crop") == 7).all()
    with pytest.raises(InputError, match=r"of 4x4 pixels do not fit --image-size 3: .* --resize"):
        prepare_arrays(list(image), Preparation(3), None)
    assert prepare_arrays(list(image), Preparation(3, None, "pad"), "pad").shape == (2, 3, 3, 1)


@pytest.mark.parametrize(("channels", "becomes"), [(1, 1), (2, 1), (3, 3), (4, 3)])
@pytest.mark.parametrize("wanted", [None, 1, 3])
def test_channels_of_arrays(channels, becomes, wanted):
    """The alpha of 2 and 4 channels shows white."""
    image = np.zeros((3, 4, 4, channels), np.uint8)
    found = prepare_arrays(list(image), Preparation(5, wanted), None)
    assert found.shape == (3, 5, 5, wanted or becomes)
    assert (found[:, 1:4, 1:4] == (255 if channels in (2, 4) else 0)).all()


def test_arrays_of_other_channels_are_refused():
    with pytest.raises(InputError, match=r"of 7 channels cannot be read: give 1 \(grey\) or 3"):
        prepare_arrays([np.zeros((4, 4, 7), np.uint8)], Preparation(), None)
