"""From the contents of an image file to 8-bit pixels, grey or RGB, by one rule for each mode.

* The first frame counts, turned upright as its EXIF orientation says. Color profiles are ignored.
* Transparent pixels show white behind them, as on a page.
* Grey of 16 bits is divided by 257; floating point from 0 to 1 is multiplied by 255.
* Everything else (palettes, CMYK, YCbCr, Lab, one bit) becomes RGB or grey as Pillow converts it;
  the grey of a color is 0.299 R + 0.587 G + 0.114 B.
"""

import io
import os
from functools import cache

import numpy as np
from PIL import Image, ImageCms, ImageOps

BACKGROUND = "white"
GREY_MODES = {"1", "L", "LA", "La", "I", "F"}  # and I;16 in any byte order
COMMON = ("JPEG", "PNG", "WEBP", "GIF")
# Pillow recognizes these, but needs a program or a library of its own, or a system, to read them.
UNREADABLE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@cache
def formats() -> tuple[str, ...]:
    """Return the names of the formats that can be read, in the order in which they are tried."""
    Image.init()
    return (*COMMON, *sorted(set(Image.OPEN) - UNREADABLE - {*COMMON}))


@cache
def extensions() -> frozenset[str]:
    """Return the extensions of image files that can be read, in lower case."""
    readable = {*formats(), "MPO"}
    return frozenset(
        extension
        for extension, format in Image.registered_extensions().items()
        if format in readable
    )


def is_image(name: str) -> bool:
    """Tell from its name whether a file is an image; hidden files are not."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions()


def is_grey(contents: bytes) -> bool:
    """Tell whether an image needs one channel only. Raises any exception if it is broken."""
    with _open(contents) as image:
        if image.mode == "P":
            palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
            return bool((palette == palette[:, :1]).all())
        return image.mode in GREY_MODES or image.mode.startswith("I;16")


def decode(contents: bytes, channels: int, wanted_size: int | None = None) -> Image.Image:
    """Decode an image to the mode L (1 channel) or RGB (3 channels).

    A JPEG much larger than `wanted_size` is decoded at a fraction of its size, which is still at
    least twice as large. Raises any exception, of Pillow's choice, if the image is broken, or if it
    has so many pixels that Pillow takes it for an attack.
    """
    with _open(contents) as image:
        if wanted_size is not None:
            image.draft(None, (2 * wanted_size, 2 * wanted_size))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return to_channels(image, channels)


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert an image of any mode to the mode L (1 channel) or RGB (3 channels)."""
    image = _to_eight_bits(image)
    if image.mode == "La":  # premultiplied, which converts to nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, BACKGROUND)
        image = Image.alpha_composite(page, image).convert("RGB")
    elif image.mode == "LAB":
        lab, rgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
        transformed = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        assert transformed is not None  # it is not done in place
        image = transformed
    mode = "L" if channels == 1 else "RGB"
    if image.mode in ("HSV", "CMYK") and mode == "L":
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError("it has values outside of 16 bits")
        values = values / 257
    elif image.mode == "F":
        values = np.asarray(image) * 255.0
        if not (values.min() >= 0 and values.max() <= 255):
            raise ValueError("it has floating-point values outside of 0 to 1")
    else:
        return image
    return Image.fromarray(np.round(values).astype(np.uint8))


def _open(contents: bytes) -> Image.Image:
    return Image.open(io.BytesIO(contents), formats=formats())
