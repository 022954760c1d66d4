"""Batch normalization as a Flax module."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from jaxgen.errors import InputError


def require_variance(x: Float[Array, "n ... f"]) -> None:
    """Raise InputError if `x` has one value per feature, which BatchNorm would normalize to 0."""
    if x.size == x.shape[-1]:
        raise InputError(
            "BatchNorm normalizes by the variance over a batch, and a single image that the "
            "network has reduced to one pixel has none: choose a --batch-size of at least 2."
        )


class BatchNorm(nn.Module):
    """`flax.linen.BatchNorm` with the same parameters and averages, in fewer passes over `x`.

    The output is a · x + b, with a = scale / sqrt(var + epsilon) and b = bias - a · mean for each
    feature. Its gradient sums dy and dy · x over the batch; that of Flax's a · (x - mean) + bias
    needs a third sum, and x - mean in memory. PyTorch's defaults; its momentum of 0.1 is 0.9 here.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    affine: bool = True  # whether there are scale and bias, which are otherwise 1 and 0

    @nn.compact
    def __call__(self, x: Float[Array, "*n f"], *, train: bool) -> Float[Array, "*n f"]:
        """Normalize each feature; `train` uses the batch's statistics and updates the averages."""
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        axes, features = tuple(range(x.ndim - 1)), x.shape[-1:]
        mean_average = self.variable("batch_stats", "mean", jnp.zeros, features)
        var_average = self.variable("batch_stats", "var", jnp.ones, features)
        mean, var = mean_average.value, var_average.value
        if train:
            mean = x.mean(axes)
            var = jnp.maximum(jnp.square(x).mean(axes) - jnp.square(mean), 0)
            if not self.is_initializing():
                for average, value in ((mean_average, mean), (var_average, var)):
                    average.value = self.momentum * average.value + (1 - self.momentum) * value
        a = lax.rsqrt(var + self.epsilon)
        if self.affine:
            a *= self.param("scale", nn.initializers.ones, features)
        b = -a * mean
        if self.affine:
            b += self.param("bias", nn.initializers.zeros, features)
        return x * jnp.expand_dims(a, axes) + jnp.expand_dims(b, axes)
