"""Convolutional layers as Flax modules, computed by `jaxgen.convolution`."""

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

from jaxgen.convolution import (
    Implementation,
    Pair,
    conv,
    conv_transpose,
    default_implementation,
)


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Cast lower precisions to float32, since a loss sums over the many values of an output."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


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
        bias = _bias(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv(
            x, kernel, self.strides, self.padding, self.implementation or default_implementation()
        )
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
        bias = _bias(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(
            x, kernel, self.strides, self.padding, self.implementation or default_implementation()
        )
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def _bias(layer: Conv | ConvTranspose) -> Float[Array, "f"] | None:
    if not layer.use_bias:
        return None
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,))
    return lax.stop_gradient(bias) if layer.freeze_bias else bias
