"""Every mode that Pillow knows becomes 8-bit pixels by the rule that is written down."""

import numpy as np
import photos
import pytest
from PIL import Image, ImageCms

from jaxgen.data.decode import decode, is_grey, is_image, to_channels

COLOR = photos.noise(0, 9, 7)
GREY = photos.noise(1, 9, 7, 1)


def pixels(image, channels, format="PNG", **options):
    return np.asarray(decode(photos.encode(image, format, **options), channels))


def luma(rgb):
    """ITU-R 601, in float64."""
    return np.round(np.asarray(rgb) @ np.array([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "SGI", "PCX", "QOI", "DDS"])
def test_colors_are_read_exactly_from_every_lossless_format(format):
    np.testing.assert_array_equal(pixels(COLOR, 3, format), COLOR)
    np.testing.assert_allclose(pixels(COLOR, 1, format), luma(COLOR), atol=1)


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "JPEG2000", "GIF", "ICO", "MPO"])
def test_other_formats_are_read(format):
    flat = Image.new("RGB", (32, 32), (200, 100, 50))
    np.testing.assert_allclose(pixels(flat, 3, format), np.asarray(flat), atol=6)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_grey_of_8_and_of_16_bits(format):
    wide = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
    for image in (GREY, wide):
        assert is_grey(photos.encode(image, format))
        np.testing.assert_array_equal(pixels(image, 1, format), GREY)
        np.testing.assert_array_equal(pixels(image, 3, format)[..., 2], GREY)


def test_grey_of_16_bits_is_rounded_and_keeps_its_scale():
    values = np.array([[0, 128, 129, 256, 4095, 65535]], np.uint16)
    np.testing.assert_array_equal(pixels(Image.fromarray(values), 1), [[0, 0, 1, 1, 16, 255]])
    swapped = Image.fromarray(values.astype(">u2"))
    np.testing.assert_array_equal(pixels(swapped, 1, "TIFF"), [[0, 0, 1, 1, 16, 255]])


def test_integers_of_32_bits_must_be_of_16():
    fits = Image.fromarray(np.array([[0, 65535]], np.int32))
    np.testing.assert_array_equal(pixels(fits, 1, "TIFF"), [[0, 255]])
    for value in (-1, 65536):
        wrong = photos.encode(Image.fromarray(np.array([[0, value]], np.int32)), "TIFF")
        with pytest.raises(ValueError, match="outside of 16 bits"):
            decode(wrong, 1)


def test_floating_point_must_be_from_0_to_1():
    fits = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    np.testing.assert_array_equal(pixels(fits, 1, "TIFF"), [[0, 128, 255]])
    for value in (-0.1, 1.1, np.nan):
        wrong = photos.encode(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF")
        with pytest.raises(ValueError, match="outside of 0 to 1"):
            decode(wrong, 1)


def test_one_bit():
    image = Image.fromarray(np.asarray(GREY) > 127)
    np.testing.assert_array_equal(pixels(image, 1), 255 * (np.asarray(GREY) > 127))


@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_transparent_pixels_show_white_behind_them(alpha):
    share = alpha / 255
    for image, mode in ((COLOR, "RGBA"), (GREY, "LA")):
        transparent = image.convert(mode)
        transparent.putalpha(alpha)
        expected = share * np.asarray(image, float) + (1 - share) * 255
        channels = np.asarray(image).ndim if mode == "RGBA" else 1
        np.testing.assert_allclose(pixels(transparent, channels), expected, atol=1)


def test_premultiplied_alpha():
    transparent = COLOR.convert("RGBA")
    transparent.putalpha(51)
    expected = 0.2 * np.asarray(COLOR, float) + 0.8 * 255
    np.testing.assert_allclose(
        np.asarray(to_channels(transparent.convert("RGBa"), 3)), expected, atol=3
    )
    grey = GREY.convert("LA")
    assert to_channels(grey.convert("La"), 1).mode == "L"


def test_a_palette_with_a_transparent_color():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    for format in ("PNG", "GIF"):
        found = pixels(image, 3, format, transparency=1)
        np.testing.assert_array_equal(found, [[[10, 20, 30], [255, 255, 255]]])
    np.testing.assert_array_equal(pixels(image, 3), [[[10, 20, 30], [200, 0, 0]]])


def test_a_color_that_is_transparent_without_a_palette():
    image = Image.new("RGB", (1, 1), (9, 8, 7))
    assert pixels(image, 3, transparency=(9, 8, 7)).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format):
    """Cyan, magenta and yellow take light away, and black takes it from all."""
    for ink, rgb in {
        (0, 0, 0, 0): (255, 255, 255),
        (255, 0, 0, 0): (0, 255, 255),
        (0, 0, 0, 255): (0, 0, 0),
        (0, 128, 0, 64): (191, 95, 191),
    }.items():
        image = Image.new("CMYK", (16, 16), ink)
        np.testing.assert_allclose(pixels(image, 3, format)[8, 8], rgb, atol=3)
        np.testing.assert_allclose(pixels(image, 1, format)[8, 8], luma(rgb), atol=3)


def test_other_color_spaces():
    """Of colors that are not so deep that 8 bits of Lab round them far off."""
    rgb = Image.fromarray(64 + np.asarray(COLOR) // 2)
    srgb, lab = (ImageCms.createProfile(space) for space in ("sRGB", "LAB"))
    image = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    assert image is not None
    for other in (image, rgb.convert("YCbCr")):
        np.testing.assert_allclose(pixels(other, 3, "TIFF"), np.asarray(rgb), atol=8)
    hsv = [np.asarray(to_channels(rgb.convert("HSV"), channels)) for channels in (3, 1)]
    np.testing.assert_allclose(hsv[0], np.asarray(rgb), atol=8)
    np.testing.assert_allclose(hsv[1], luma(rgb), atol=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_camera_is_undone(orientation):
    """As the EXIF standard defines it: where row 0 and column 0 of the file are seen."""
    upright = np.asarray(COLOR)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(Image.fromarray(np.ascontiguousarray(stored)), 3, exif=exif)
    np.testing.assert_array_equal(found, upright)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_several_counts(format):
    first, *others = (Image.new("RGB", (16, 16), (c, 0, 0)) for c in (255, 128, 0))
    contents = photos.encode(first, format, save_all=True, append_images=others)
    np.testing.assert_allclose(np.asarray(decode(contents, 3))[..., 0], 255, atol=6)


def test_what_is_grey():
    palette = Image.new("P", (1, 1))
    palette.putpalette([v for v in range(256) for _ in range(3)])
    colored = palette.copy()
    colored.putpalette([1, 2, 3])
    for image in (GREY, GREY.convert("LA"), GREY.convert("1"), palette):
        assert is_grey(photos.encode(image))
    for image in (COLOR, COLOR.convert("RGBA"), colored):
        assert not is_grey(photos.encode(image))
    assert not is_grey(photos.encode(COLOR.convert("CMYK"), "JPEG"))


def test_a_jpeg_is_decoded_at_a_fraction_that_is_still_large_enough():
    image = photos.noise(0, 16, 16).resize((640, 480))
    contents = photos.encode(image, "JPEG", quality=95)
    assert decode(contents, 3).size == (640, 480)
    small = decode(contents, 3, 32)
    assert 64 <= min(small.size) < 128
    expected = np.asarray(image.resize(small.size, Image.Resampling.BOX))
    np.testing.assert_allclose(np.asarray(small), expected, atol=30)
    assert decode(contents, 3, 300).size == (640, 480)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPEG", "a b.PNG", "a.webp", "a.b.tif", "a.mpo", "a.avif"]
)
def test_images_by_name(name):
    assert is_image(name)


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._a.jpg",
        ".a.png",
        "Thumbs.db",
        "a.txt",
        "a",
        "a.jpg.txt",
        "a.eps",
        "a.pdf",
        "a.mpg",
    ],
)
def test_other_files_by_name(name):
    assert not is_image(name)


def test_an_eps_file_under_another_name_is_not_run():
    """Ghostscript would run it as a program."""
    with pytest.raises(Image.UnidentifiedImageError):
        decode(photos.encode(COLOR, "EPS"), 3)
