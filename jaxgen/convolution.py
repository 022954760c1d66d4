"""Convolutions as matrix products.

A convolution multiplies every window of an image by the same matrix. With the windows laid out as
rows it is one product,

    y = patches(x) @ W            W: [taps · channels in, channels out], the kernel, reshaped

and the transposed convolution runs the same way back: every pixel is multiplied into a whole
window, and the windows are added up where they overlap,

    x = fold(y @ Wᵀ)              fold = patchesᵀ

Each is the other's gradient, so training, too, is nothing but products, copies and sums. Both are
exact. XLA:CPU needs them: it runs its own convolution naively inside a loop, 20 times slower. And
where every member of a population has kernels of its own, `lax` has to group its convolutions.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

Pair = tuple[int, int]
Implementation = Literal["matmul", "lax"]


def default_implementation() -> Implementation:
    """The implementation of a layer that names none: matrix products on CPU and GPU, else `lax`.

    `python -m experiments.benchmark` shows that matrix products make a training step of these
    models faster on a GPU, too. Other backends are unmeasured and keep XLA's own kernels.
    """
    return "matmul" if jax.default_backend() in ("cpu", "gpu") else "lax"


class Axis(NamedTuple):
    """A window's way along one side of an image; at each step, each tap lies on one pixel.

    pixel = stride · step + tap - low; outside 0 ≤ pixel < size the image is zero.
    """

    size: int
    steps: int
    taps: int
    stride: int
    low: int

    def used(self) -> range:
        """The taps that ever meet a pixel; on 1x1 and 2x2 maps the others see only padding."""
        starts = range(-self.low, self.stride * self.steps - self.low, self.stride)
        hits = [t for t in range(self.taps) if any(0 <= p + t < self.size for p in starts)]
        return range(hits[0], hits[-1] + 1) if hits else range(0)


def pad(x: Float[Array, "n h w c"], rows: Pair, columns: Pair) -> Float[Array, "n h2 w2 c"]:
    """Zeros around each image; a negative number of them cuts."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)))


def patches(x: Float[Array, "n h w c"], rows: Axis, columns: Axis) -> Float[Array, "n i j k"]:
    """The window at every step, as a row of taps · taps · c numbers in the order of the kernel.

    With stride s the pixels fall into s · s interleaved phases. A tap only ever lies on pixels of
    one phase, where its steps sit side by side: so each tap is a shifted map.
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
    windows = jnp.stack(taps, axis=3)  # XLA:CPU fuses this with all the above, no concatenation
    return windows.reshape(len(x), i, j, rows.taps * columns.taps * x.shape[-1])


def fold(z: Float[Array, "n i j k"], rows: Axis, columns: Axis) -> Float[Array, "n h w c"]:
    """The transpose of `patches`: every window added to the pixels it lies on."""
    channels = z.shape[-1] // (rows.taps * columns.taps)
    x = jax.ShapeDtypeStruct((len(z), rows.size, columns.size, channels), z.dtype)
    (x,) = jax.linear_transpose(lambda x: patches(x, rows, columns), x)(z)
    return x


def matmul(x: Float[Array, "*n k"], w: Float[Array, "k f"]) -> Float[Array, "*n f"]:
    """x @ w, whose gradient in w transposes the narrower factor.

    JAX would transpose the cotangent, and XLA:CPU does so in memory: for the nine-fold windows
    of a transposed convolution that takes longer than the product itself.
    """
    return matmul_p.bind(x, w)


def matmul_gradient(dy: Float[Array, "*n f"], x: Float[Array, "*n k"]) -> Float[Array, "k f"]:
    """xᵀ @ dy, or the same as (dyᵀ @ x)ᵀ."""
    dy, x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    narrow_first = x.shape[1] <= dy.shape[1]
    return jnp.tensordot(x, dy, (0, 0)) if narrow_first else jnp.tensordot(dy, x, (0, 0)).T


# A primitive rather than a custom_vjp: being bilinear, it has forward mode and all orders, too.
matmul_p = Primitive("matmul")
matmul_p.def_impl(jax.jit(jnp.matmul))
matmul_p.def_abstract_eval(lambda x, w: x.update(shape=(*x.shape[:-1], w.shape[-1])))
ad.defbilinear(matmul_p, lambda dy, x, w: matmul(dy, w.T), lambda dy, x, w: matmul_gradient(dy, x))
batching.primitive_batchers[matmul_p] = lambda args, axes: (jax.vmap(jnp.dot, axes)(*args), 0)
mlir.register_lowering(matmul_p, mlir.lower_fun(jnp.matmul, multiple_results=False))


def conv(
    x: Array,
    kernel: Array,
    strides: Pair,
    padding: tuple[Pair, Pair],
    implementation: Implementation,
) -> Array:
    """Correlate NHWC images with an HWIO kernel.

    Where no window meets a pixel there is nothing to multiply, and `lax` runs in any case.
    """
    channels, features = kernel.shape[2:]
    sides = zip(x.shape[1:3], kernel.shape[:2], strides, padding, strict=True)
    rows, columns = (
        Axis(size, (size + low + high - taps) // stride + 1, taps, stride, low)
        for size, taps, stride, (low, high) in sides
    )
    if implementation == "lax" or not (rows.used() and columns.used()):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=dimensions)
    if strides == (1, 1) and features < channels:  # windows of the result are smaller
        return conv_transpose(
            x, kernel[::-1, ::-1].swapaxes(2, 3), strides, padding, implementation
        )
    kernel, rows, columns = trim(kernel, rows, columns)
    return matmul(patches(x, rows, columns), kernel.reshape(-1, features))


def conv_transpose(
    x: Array,
    kernel: Array,
    strides: Pair,
    padding: tuple[Pair, Pair],
    implementation: Implementation,
) -> Array:
    """Multiply every pixel of NHWC images into a window: the kernel is [h, w, out, in].

    `padding` is that of the dilated input, as in `lax.conv_transpose(transpose_kernel=True)`.
    """
    features, channels = kernel.shape[2:]
    sides = zip(x.shape[1:3], kernel.shape[:2], strides, padding, strict=True)
    rows, columns = (
        Axis((steps - 1) * stride + 2 - taps + low + high, steps, taps, stride, taps - 1 - low)
        for steps, taps, stride, (low, high) in sides
    )
    if implementation == "lax" or not (rows.used() and columns.used()):
        return lax.conv_transpose(x, kernel, strides, padding, transpose_kernel=True)
    if strides == (1, 1) and channels < features:
        return conv(x, kernel[::-1, ::-1].swapaxes(2, 3), strides, padding, implementation)
    kernel, rows, columns = trim(kernel, rows, columns)
    return fold(matmul(x, kernel.reshape(-1, channels).T), rows, columns)


def trim(kernel: Array, rows: Axis, columns: Axis) -> tuple[Array, Axis, Axis]:
    """Kernel and axes without the taps that see only padding."""
    a, b = rows.used(), columns.used()
    kernel = kernel[a.start : a.stop, b.start : b.stop]
    rows, columns = (
        axis._replace(taps=len(used), low=axis.low - used.start)
        for axis, used in ((rows, a), (columns, b))
    )
    return kernel, rows, columns
