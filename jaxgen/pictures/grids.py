"""Grids of images, and animations of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from jaxgen.pixels import to_uint8

GAP = 2  # pixels between images
NAME_SIZE, NAME_MARGIN = 20, 6  # pixels
NAME_LENGTH = 20  # characters; longer names are cut


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


def with_names(
    picture: Float[np.ndarray, "height width 3"], names: Sequence[str]
) -> Float[np.ndarray, "height wider 3"]:
    """Write a name to the left of each row of a grid; the rows have the same height."""
    row_height = picture.shape[0] / len(names)
    font = ImageFont.load_default(min(NAME_SIZE, 0.8 * row_height))
    texts = [n if len(n) <= NAME_LENGTH else f"{n[: NAME_LENGTH - 1]}…" for n in names]
    width = round(max(font.getlength(text) for text in texts)) + 2 * NAME_MARGIN
    column = Image.new("RGB", (width, picture.shape[0]), "white")
    draw = ImageDraw.Draw(column)
    for row, text in enumerate(texts):
        at = (width - NAME_MARGIN, (row + 0.5) * row_height)
        draw.text(at, text, fill="black", font=font, anchor="rm")
    return np.concatenate([np.asarray(column) / 255, picture], axis=1)


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
