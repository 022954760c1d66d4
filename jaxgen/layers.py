"""Layers as Flax modules, computed by `jaxgen.matmul` and `jaxgen.convolution`.

Products round their factors to the `dtype` of a layer, if it has one. Sums and outputs remain
float32.
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxgen.convolution import (
    Implementation,
    Pair,
    conv,
    conv_transpose,
    default_implementation,
)
from jaxgen.matmul import matmul


class Dense(nn.Module):
    """`flax.linen.Dense` with the same parameters."""

    features: int
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*n d"]) -> Float[Array, "*n f"]:
        """Compute x @ kernel + bias."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias)
        return matmul(x, kernel, self.dtype) + jnp.expand_dims(bias, range(x.ndim - 1))


class Conv(nn.Module):
    """`flax.linen.Conv` for images, with the same parameter names and initial values.

    The default padding is that of PyTorch's Conv2d(kernel_size=3, padding=1).
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((1, 1), (1, 1))
    use_bias: bool = True
    freeze_bias: bool = False  # before a BatchNorm, whose output does not depend on it
    dtype: Dtype | None = None
    implementation: Implementation | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Correlate `x` with the kernel and add the bias."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        x, kernel, bias = promote_dtype(x, kernel, _bias(self))
        implementation = self.implementation or default_implementation()
        y = conv(x, kernel, self.strides, self.padding, implementation, self.dtype)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


class ConvTranspose(nn.Module):
    """`flax.linen.ConvTranspose(transpose_kernel=True)` for images, with the same parameters.

    As in Flax, `padding` is that of the dilated input. The defaults double the size, like PyTorch's
    ConvTranspose2d(kernel_size=3, stride=2, padding=1, output_padding=1).
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (2, 2)
    padding: tuple[Pair, Pair] = ((1, 2), (1, 2))
    use_bias: bool = True
    freeze_bias: bool = False  # before a BatchNorm, whose output does not depend on it
    dtype: Dtype | None = None
    implementation: Implementation | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Multiply every pixel into a window, add the windows up, and add the bias."""
        shape = (*self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        x, kernel, bias = promote_dtype(x, kernel, _bias(self))
        implementation = self.implementation or default_implementation()
        y = conv_transpose(x, kernel, self.strides, self.padding, implementation, self.dtype)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def _bias(layer: Conv | ConvTranspose) -> Float[Array, "f"] | None:
    if not layer.use_bias:
        return None
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,))
    return lax.stop_gradient(bias) if layer.freeze_bias else bias
