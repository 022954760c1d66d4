"""The windows of images that a convolution multiplies, and their transpose."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad
from jaxtyping import Array, Float

from jaxgen.primitives import define

Pair = tuple[int, int]


class Axis(NamedTuple):
    """The geometry of a convolution along one side of an image.

    At each step, each tap of the window lies on pixel = stride · step + tap - low. Outside of
    0 ≤ pixel < size the image is zero.
    """

    size: int
    steps: int
    taps: int
    stride: int
    low: int

    def used_taps(self) -> range:
        """Return the taps that lie on a pixel at any step; the others see only padding."""
        starts = range(-self.low, self.stride * self.steps - self.low, self.stride)
        hits = [t for t in range(self.taps) if any(0 <= p + t < self.size for p in starts)]
        return range(hits[0], hits[-1] + 1) if hits else range(0)


def pad(x: Float[Array, "n h w c"], rows: Pair, columns: Pair) -> Float[Array, "n h2 w2 c"]:
    """Pad each image with zeros; negative widths crop it."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)))


def patches(x: Float[Array, "n h w c"], rows: Axis, columns: Axis) -> Float[Array, "n i j k"]:
    """Extract the window at every step: a row of taps · taps · c values in the kernel's order."""
    return patches_p.bind(x, rows=rows, columns=columns)


def fold(z: Float[Array, "n i j k"], rows: Axis, columns: Axis) -> Float[Array, "n h w c"]:
    """Add every window to the pixels that it lies on: the transpose of `patches`."""
    return fold_p.bind(z, rows=rows, columns=columns)


def _patches(x: Array, *, rows: Axis, columns: Axis) -> Array:
    """Stack shifted images.

    With stride s the pixels fall into s · s interleaved phases. A tap lies on the pixels of one
    phase only, on adjacent ones at consecutive steps, so each tap is a shifted phase.
    """
    (height, i, _, r, top), (width, j, _, s, left) = rows, columns
    h, w = -(-height // r), -(-width // s)
    x = pad(x, (0, h * r - height), (0, w * s - width))
    bands = jnp.unstack(x.reshape(len(x), h, r, w, s, x.shape[-1]), axis=2)
    phases = [jnp.unstack(band, axis=3) for band in bands]

    def tap(a: int, b: int) -> Array:
        (up, p), (back, q) = divmod(a - top, r), divmod(b - left, s)
        return pad(phases[p][q], (-up, i - h + up), (-back, j - w + back))

    taps = [tap(a, b) for a in range(rows.taps) for b in range(columns.taps)]
    # XLA:CPU fuses a stack with the pads and slices above, but not a concatenation.
    windows = jnp.stack(taps, axis=3)
    return windows.reshape(len(x), i, j, rows.taps * columns.taps * x.shape[-1])


def _fold(z: Array, *, rows: Axis, columns: Axis) -> Array:
    x = jax.ShapeDtypeStruct(_folded_shape(z, rows=rows, columns=columns), z.dtype)
    (x,) = jax.linear_transpose(partial(_patches, rows=rows, columns=columns), x)(z)
    return x


def _windows_shape(x: Any, *, rows: Axis, columns: Axis) -> tuple[int, ...]:
    return x.shape[0], rows.steps, columns.steps, rows.taps * columns.taps * x.shape[3]


def _folded_shape(z: Any, *, rows: Axis, columns: Axis) -> tuple[int, ...]:
    return z.shape[0], rows.size, columns.size, z.shape[3] // (rows.taps * columns.taps)


# Linear, and each the transpose of the other.
patches_p = define("patches", _patches, _windows_shape)
fold_p = define("fold", _fold, _folded_shape)
ad.deflinear2(patches_p, lambda z, _, **axes: [fold(z, **axes)])
ad.deflinear2(fold_p, lambda x, _, **axes: [patches(x, **axes)])
