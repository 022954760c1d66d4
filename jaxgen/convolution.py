"""Convolutions as matrix products.

A convolution multiplies every window of an image by the same matrix. With the windows as rows, it
is one product,

    y = patches(x) @ W            W: [taps · channels in, channels out], the reshaped kernel

The transposed convolution reverses these steps: it multiplies every pixel into a whole window, and
adds the windows up where they overlap,

    x = fold(y @ Wᵀ)              fold = patchesᵀ

Each is the gradient of the other, so training also consists of products, copies and sums only.
Both are exact. XLA:CPU needs them because it runs its own convolution naively inside a loop, 20
times slower. In a population, whose members have different kernels, `lax` would have to group its
convolutions.
"""

from typing import Literal

import jax
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

from jaxgen.matmul import matmul, matmul_transposed
from jaxgen.windows import Axis, Pair, fold, patches

Implementation = Literal["matmul", "lax"]


def default_implementation() -> Implementation:
    """Return the default implementation: matrix products on CPU and GPU, `lax` elsewhere.

    As `python -m experiments.benchmark` shows, matrix products also speed up the training steps of
    these models on a GPU. Other backends have not been measured and keep XLA's own kernels.
    """
    return "matmul" if jax.default_backend() in ("cpu", "gpu") else "lax"


def conv(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c f"],
    strides: Pair,
    padding: tuple[Pair, Pair],
    implementation: Implementation,
    dtype: Dtype | None = None,
) -> Float[Array, "n h2 w2 f"]:
    """Correlate NHWC images with an HWIO kernel.

    Factors are rounded to `dtype` as in `matmul`; `lax` also rounds the result to it.
    If no window overlaps the image there is nothing to multiply, and `lax` is used in any case.
    """
    channels, features = kernel.shape[2:]
    sides = zip(x.shape[1:3], kernel.shape[:2], strides, padding, strict=True)
    rows, columns = (
        Axis(size, (size + low + high - taps) // stride + 1, taps, stride, low)
        for size, taps, stride, (low, high) in sides
    )
    if implementation == "lax" or not (rows.used_taps() and columns.used_taps()):
        factors = x.astype(dtype or x.dtype), kernel.astype(dtype or x.dtype)
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(*factors, strides, padding, dimension_numbers=dimensions)
        return y.astype(x.dtype)
    if strides == (1, 1) and features < channels:  # the windows of y are narrower
        kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        return conv_transpose(x, kernel, strides, padding, implementation, dtype)
    kernel, rows, columns = trim(kernel, rows, columns)
    return matmul(patches(x, rows, columns), kernel.reshape(-1, features), dtype)


def conv_transpose(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw f c"],
    strides: Pair,
    padding: tuple[Pair, Pair],
    implementation: Implementation,
    dtype: Dtype | None = None,
) -> Float[Array, "n h2 w2 f"]:
    """Multiply every pixel of NHWC images into a window, and add the windows up.

    The kernel is [h, w, out, in], and `padding` is that of the dilated input, as in
    `lax.conv_transpose(transpose_kernel=True)`. `dtype` is that of `conv`.
    """
    features, channels = kernel.shape[2:]
    sides = zip(x.shape[1:3], kernel.shape[:2], strides, padding, strict=True)
    rows, columns = (
        Axis((steps - 1) * stride + 2 - taps + low + high, steps, taps, stride, taps - 1 - low)
        for steps, taps, stride, (low, high) in sides
    )
    if implementation == "lax" or not (rows.used_taps() and columns.used_taps()):
        factors = x.astype(dtype or x.dtype), kernel.astype(dtype or x.dtype)
        return lax.conv_transpose(*factors, strides, padding, transpose_kernel=True).astype(x.dtype)
    if strides == (1, 1) and channels < features:
        kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        return conv(x, kernel, strides, padding, implementation, dtype)
    kernel, rows, columns = trim(kernel, rows, columns)
    return fold(matmul_transposed(x, kernel.reshape(-1, channels), dtype), rows, columns)


def trim(kernel: Array, rows: Axis, columns: Axis) -> tuple[Array, Axis, Axis]:
    """Remove the taps that see only padding from the kernel and its axes."""
    a, b = rows.used_taps(), columns.used_taps()
    kernel = kernel[a.start : a.stop, b.start : b.stop]
    rows, columns = (
        axis._replace(taps=len(used), low=axis.low - used.start)
        for axis, used in ((rows, a), (columns, b))
    )
    return kernel, rows, columns
