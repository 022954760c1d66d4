"""Bring images to one size and number of channels."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxgen.data.decode import decode, to_channels
from jaxgen.data.examples import stack
from jaxgen.errors import InputError, require_positive
from jaxgen.pixels import pad_to

Resize = Literal["crop", "pad", "stretch"]
REDUCING_GAP = 3.0  # to three times the size by averaging, which is fast, and on by Lanczos


class Preparation(NamedTuple):
    """What is done to every image of a set."""

    size: int | None = None
    """Height and width; None: those that the images have."""
    channels: Literal[1, 3] | None = None
    """None: 1 if all images are grey, otherwise 3."""
    resize: Resize | None = None
    """None: images of one size are padded if they are smaller, and refused if they are larger;
    others are cropped."""

    def check(self) -> None:
        """Raise InputError for a value that is not one of those above."""
        if self.size is not None:
            require_positive(image_size=self.size)
        if self.channels not in (None, 1, 3):
            raise InputError(f"channels must be 1 or 3, but is {self.channels}.")
        if self.resize not in (None, *get_args(Resize)):
            choices = ", ".join(get_args(Resize))
            raise InputError(f"resize must be one of {choices}, but is {self.resize!r}.")

    def describe(self) -> str:
        """Return a text that is safe in a file's name, and another one for each preparation."""
        return f"{self.size or 'own'}-{self.channels or 'own'}-{self.resize or 'default'}"


def resize(image: Image.Image, size: int, how: Resize) -> Image.Image:
    """Bring an image to a square of side `size`, without aliasing (Lanczos).

    `crop` scales the largest square in its center, `stretch` the whole image, whatever its shape.
    `pad` centers it in black; an image that is too large is scaled down before that.
    """
    width, height = image.size
    if how == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return _scale(image.crop((left, top, left + side, top + side)), size, size)
    if how == "stretch":
        return _scale(image, size, size)
    scale = min(1.0, size / max(width, height))
    wide, high = (max(1, round(scale * length)) for length in (width, height))
    canvas = Image.new(image.mode, (size, size))
    canvas.paste(_scale(image, wide, high), ((size - wide) // 2, (size - high) // 2))
    return canvas


def prepare_file(contents: bytes, preparation: Preparation) -> UInt8[np.ndarray, "h w c"]:
    """Decode and resize the contents of an image file; by default it is cropped.

    Raises any exception if the image is broken.
    """
    size, how = preparation.size, preparation.resize or "crop"
    image = decode(contents, preparation.channels or 3, size)
    return _pixels(image if size is None else resize(image, size, how))


def prepare_arrays(
    images: Sequence[UInt8[np.ndarray, "_ _ _"]], preparation: Preparation, how: Resize | None
) -> UInt8[np.ndarray, "n h w c"]:
    """Convert and resize images of 1 to 4 channels; of 2 and 4, the last one is alpha.

    If `how` is None, images that are smaller than wanted are padded. Raises InputError if they are
    larger then, or if they have more channels.
    """
    channels = {image.shape[-1] for image in images}
    if not channels <= {1, 2, 3, 4}:
        raise InputError(
            f"Images of {max(channels)} channels cannot be read: give 1 (grey) or 3 (RGB), or 2 or "
            "4 with alpha."
        )
    wanted = preparation.channels or (1 if max(channels) < 3 else 3)
    size = preparation.size
    if channels != {wanted} or how is not None:
        pictures = [_picture(image, wanted) for image in images]
        if size is not None and how is not None:
            pictures = [resize(picture, size, how) for picture in pictures]
        images = [_pixels(picture) for picture in pictures]
    image = stack(images)
    return image if size is None else pad_to(image, size)


def _picture(image: UInt8[np.ndarray, "h w c"], channels: int) -> Image.Image:
    pixels = image.squeeze(-1) if image.shape[-1] == 1 else image
    return to_channels(Image.fromarray(pixels), channels)


def _scale(image: Image.Image, width: int, height: int) -> Image.Image:
    lanczos = Image.Resampling.LANCZOS
    return image.resize((width, height), lanczos, reducing_gap=REDUCING_GAP)


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    pixels = np.array(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
