"""A generated data set of colored shapes with four known factors.

Each image is determined by its factors: shape (the label), hue, size and rotation. Edges are
antialiased. The same images result on every machine: beyond IEEE arithmetic, only sines and cosines
are used, and these are rounded.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, UInt8
from PIL import Image

from jaxgen.errors import InputError

NAME = "shapes"
CLASS_NAMES = ("cross", "half disc", "square", "star", "triangle")
SIZE = 64  # pixels
NUM_IMAGES = {"train": 4000, "test": 1000}
SEEDS = {"train": 1, "test": 2}
BACKGROUND = 0.1  # gray value
SATURATION, VALUE = 0.75, 0.95  # of the color
RADII = (0.2, 0.42)  # smallest and largest, as shares of the image's side
ROTATIONS = (-np.pi / 8, np.pi / 8)  # less than the angle after which any shape looks the same
CHUNK = 250  # images drawn at once


class Factors(NamedTuple):
    """What determines each image."""

    shape: Int32[np.ndarray, "n"]
    """Index into CLASS_NAMES."""
    hue: Float[np.ndarray, "n"]
    """From 0 (red) to 1 (red again)."""
    size: Float[np.ndarray, "n"]
    """Radius of the enclosing circle as a share of the image's side."""
    rotation: Float[np.ndarray, "n"]
    """Counterclockwise in radians, from the upright position."""


def factors(split: str) -> Factors:
    """Draw the factors of a split; shapes take turns, the others are uniform and independent.

    Raises InputError if there is no such split.
    """
    if split not in NUM_IMAGES:
        raise InputError(f"{NAME} has no split {split!r}, only {' and '.join(NUM_IMAGES)}.")
    num, random = NUM_IMAGES[split], np.random.default_rng(SEEDS[split])
    shape = np.arange(num, dtype=np.int32) % len(CLASS_NAMES)
    hue, size, turn = random.random((3, num))
    radius, rotation = (
        low + (high - low) * share for (low, high), share in ((RADII, size), (ROTATIONS, turn))
    )
    return Factors(shape, hue, radius, rotation)


def draw(factors: Factors, size: int = SIZE) -> UInt8[np.ndarray, "n s s 3"]:
    """Draw the image of each set of factors. Raises InputError for a label without a shape."""
    if not np.isin(factors.shape, range(len(CLASS_NAMES))).all():
        raise InputError(
            f"There are {len(CLASS_NAMES)} shapes: labels are 0 to {len(CLASS_NAMES) - 1}."
        )
    chunks = range(0, len(factors.shape), CHUNK)
    images = [_draw(Factors(*(x[i : i + CHUNK] for x in factors)), size) for i in chunks]
    return np.concatenate(images) if images else np.zeros((0, size, size, 3), np.uint8)


def read(
    split: str, size: int = SIZE
) -> tuple[UInt8[np.ndarray, "n s s 3"], Int32[np.ndarray, "n"]]:
    """Draw the split `train` (4 000 images) or `test` (1 000 others), with the shapes as labels.

    Raises InputError if there is no such split.
    """
    drawn = factors(split)
    return draw(drawn, size), drawn.shape


def export(directory: Path) -> None:
    """Write all images as PNG to `directory`/split/shape/number.png.

    Raises InputError if the directory is not empty.
    """
    if directory.exists() and any(directory.iterdir()):
        raise InputError(f"{directory} is not empty: choose a new directory.")
    for split in NUM_IMAGES:
        images, labels = read(split)
        for label, name in enumerate(CLASS_NAMES):
            folder = directory / split / name
            folder.mkdir(parents=True)
            for index in np.flatnonzero(labels == label):
                Image.fromarray(images[index]).save(folder / f"{index:04d}.png")


def _draw(factors: Factors, size: int) -> UInt8[np.ndarray, "n s s 3"]:
    axis = (np.arange(size) + 0.5) / size - 0.5  # pixel centers, as shares of the side
    cos, sin = (_rounded(f(factors.rotation))[:, None, None] for f in (np.cos, np.sin))
    x, y = axis[None, None, :], -axis[None, :, None]
    # The shape's own coordinates, in units of its radius.
    radius = factors.size[:, None, None]
    u, v = (cos * x + sin * y) / radius, (cos * y - sin * x) / radius
    distance = np.empty_like(u)
    for label, outside in enumerate((_cross, _half_disc, _square, _star, _triangle)):
        of_label = factors.shape == label
        distance[of_label] = outside(u[of_label], v[of_label])
    coverage = np.clip(0.5 - distance * (radius * size), 0, 1)[..., None]
    color = _rgb(factors.hue)[:, None, None, :]
    image = BACKGROUND + coverage * (color - BACKGROUND)
    return np.floor(image * 255 + 0.5).astype(np.uint8)


# The signed distance to the outline, negative inside, for a radius of 1; close to the outline it is
# exact but for corners.
_Plane = Float[np.ndarray, "n s s"]


def _half_plane(u: _Plane, v: _Plane, angle: float, offset: float) -> _Plane:
    """Return the distance beyond a line, whose normal has an angle in degrees from the u-axis."""
    radians = np.deg2rad(angle)
    cos, sin = _rounded(np.array([np.cos(radians), np.sin(radians)]))
    return cos * u + sin * v - offset


def _cross(u: _Plane, v: _Plane) -> _Plane:
    across, along = 0.35, 0.9
    u, v = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(u - across, v - along), np.maximum(u - along, v - across))


def _half_disc(u: _Plane, v: _Plane) -> _Plane:
    return np.maximum(np.sqrt(u * u + v * v) - 1, -v)


def _square(u: _Plane, v: _Plane) -> _Plane:
    return np.maximum(np.abs(u), np.abs(v)) - 0.7


def _star(u: _Plane, v: _Plane) -> _Plane:
    """Return the distance to a pentagram: its points are inside of all five lines but one."""
    lines = [_half_plane(u, v, 270.0 + 72 * i, 0.309) for i in range(5)]
    return np.sort(np.stack(lines), axis=0)[-2]


def _triangle(u: _Plane, v: _Plane) -> _Plane:
    lines = [_half_plane(u, v, 270.0 + 120 * i, 0.5) for i in range(3)]
    return np.max(np.stack(lines), axis=0)


def _rgb(hue: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Convert hues to RGB."""
    shift = (np.array([5.0, 3.0, 1.0])[None] + 6 * hue[:, None]) % 6
    return VALUE * (1 - SATURATION * np.clip(np.minimum(shift, 4 - shift), 0, 1))


def _rounded(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Round to a multiple of 2^-30, since libraries differ in the last bits of sines."""
    return np.round(x * 2**30) / 2**30
