"""Convolution and transposed convolution as matrix products.

A convolution multiplies every window of the image by the same matrix. With all windows laid out
as rows, `patches(x)`, it is one product, y = patches(x) @ W; the transposed convolution runs the
same data flow backwards, x = fold(y @ Wᵀ), where `fold` adds each window back to where it came
from. Both are linear and exact, so JAX derives every gradient, and these are matrix products too.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

Pair = tuple[int, int]
Form = Literal["matmul", "lax"]
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def default_form() -> Form:
    """The form that runs when none is asked for: matrix products on CPU, `lax` elsewhere.

    XLA's CPU backend runs a convolution inside a loop on a naive path, about 20 times slower.
    """
    return "matmul" if jax.default_backend() == "cpu" else "lax"


def patches(
    x: Float[Array, "n h w c"], size: Pair, strides: Pair, padding: tuple[Pair, Pair]
) -> Float[Array, "n oh ow kkc"]:
    """All windows of `x` as rows of size[0]·size[1]·c, ordered as the rows of an HWIO kernel."""
    n, h, w, c = x.shape
    (sh, sw), (kh, kw) = strides, size
    oh = (h + sum(padding[0]) - kh) // sh + 1
    ow = (w + sum(padding[1]) - kw) // sw + 1
    x = lax.pad(
        x, jnp.zeros((), x.dtype), ((0, 0, 0), (*padding[0], 0), (*padding[1], 0), (0, 0, 0))
    )
    taps = [
        x[:, a : a + sh * (oh - 1) + 1 : sh, b : b + sw * (ow - 1) + 1 : sw]
        for a in range(kh)
        for b in range(kw)
    ]
    return jnp.concatenate(taps, axis=-1).reshape(n, oh, ow, kh * kw * c)


def fold(
    windows: Float[Array, "n oh ow kkc"],
    shape: tuple[int, int, int, int],
    size: Pair,
    strides: Pair,
    padding: tuple[Pair, Pair],
) -> Float[Array, "n h w c"]:
    """The transpose of `patches`: every window added to its place in an image of `shape`."""
    x = jax.ShapeDtypeStruct(shape, windows.dtype)
    return jax.linear_transpose(lambda x: patches(x, size, strides, padding), x)(windows)[0]


class Conv(nn.Module):
    """`flax.linen.Conv` with two spatial dimensions, its parameters and their initial values.

    The default padding is that of PyTorch's Conv2d(kernel_size=3, padding=1).
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((1, 1), (1, 1))
    use_bias: bool = True
    dtype: Dtype | None = None
    conv: Form | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n oh ow f"]:
        """Cross-correlate `x` with the kernel and add the bias."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if (self.conv or default_form()) == "lax":
            y = lax.conv_general_dilated(
                x, kernel, self.strides, self.padding, dimension_numbers=DIMENSIONS
            )
        else:
            windows = patches(x, self.kernel_size, self.strides, self.padding)
            y = windows @ kernel.reshape(-1, self.features)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """`flax.linen.ConvTranspose(transpose_kernel=True)`, its parameters and initial values.

    The default doubles the size as PyTorch's ConvTranspose2d(kernel_size=3, stride=2, padding=1,
    output_padding=1) does; `padding` is that of the dilated input, as in Flax.
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (2, 2)
    padding: tuple[Pair, Pair] = ((1, 2), (1, 2))
    use_bias: bool = True
    dtype: Dtype | None = None
    conv: Form | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n oh ow f"]:
        """Spread every pixel of `x` over a window by the kernel and add the bias."""
        n, h, w, channels = x.shape
        shape = (*self.kernel_size, self.features, channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if (self.conv or default_form()) == "lax":
            y = lax.conv_transpose(x, kernel, self.strides, self.padding, transpose_kernel=True)
        else:
            windows = x @ kernel.reshape(-1, channels).T
            sides = [
                (i - 1) * s + 2 - k + sum(p)
                for i, s, k, p in zip(
                    (h, w), self.strides, self.kernel_size, self.padding, strict=True
                )
            ]
            padding = tuple(
                (k - 1 - lo, k - 1 - hi)
                for k, (lo, hi) in zip(self.kernel_size, self.padding, strict=True)
            )
            y = fold(windows, (n, *sides, self.features), self.kernel_size, self.strides, padding)
        return y if bias is None else y + bias
