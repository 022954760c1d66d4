"""Grids of images, and animations of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from jaxgen.pixels import to_uint8

GAP = 2  # pixels between images


def grid(
    images: Float[np.ndarray, "n h w c"], num_columns: int, scale: int = 2
) -> Float[np.ndarray, "height width 3"]:
    """Arrange images in [0, 1] row by row on white, enlarged by `scale`; gray becomes RGB."""
    num, height, width, channels = images.shape
    num_rows = -(-num // num_columns)
    canvas = np.ones((num_rows, height + GAP, num_columns, width + GAP, 3))
    rgb = np.broadcast_to(images, (num, height, width, 3)) if channels == 1 else images
    for index, image in enumerate(rgb):
        row, column = divmod(index, num_columns)
        canvas[row, :height, column, :width] = image
    picture = canvas.reshape(num_rows * (height + GAP), num_columns * (width + GAP), 3)
    return picture[:-GAP, :-GAP].repeat(scale, axis=0).repeat(scale, axis=1)


def interleave(
    left: Float[np.ndarray, "n h w c"], right: Float[np.ndarray, "n h w c"]
) -> Float[np.ndarray, "m h w c"]:
    """Alternate images of both, so that partners are side by side in a grid of even width."""
    return np.stack([left, right], axis=1).reshape(-1, *left.shape[1:])


def save(path: Path, picture: Float[np.ndarray, "height width 3"]) -> None:
    """Write a picture in [0, 1] as PNG."""
    Image.fromarray(to_uint8(picture)).save(path)


def animate(path: Path, pictures: Iterable[Path], milliseconds: int = 200) -> None:
    """Write saved pictures, in order, as an animated GIF that holds the last one for 2 s."""
    first, *rest = (Image.open(picture).convert("P") for picture in pictures)
    duration = [milliseconds] * len(rest) + [2000]
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0)
