"""The course's conditional generator and discriminator, both MLPs (part 2, sec. 4.1 and 4.2).

Images are [b, h, w, c] in [-1, 1]; the course's are [b, c, h, w]. These flatten in the same order
only if there is one channel, so the weights of color models from PyTorch need their pixels
permuted. With a `dtype`, matrix products round their factors to it; all else is float32.
"""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jaxtyping import Array, Float, PyTree

from jaxgen.errors import require_positive
from jaxgen.layers import Dense
from jaxgen.matmul import matmul
from jaxgen.networks import check_image_shape
from jaxgen.normalization import BatchNorm
from jaxgen.types import Labels, SymmetricImages

UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # within ±1/sqrt(fan_in)


@runtime_checkable
class GeneratorNetwork(Protocol):
    """What a Flax module needs to be a generator; docs/networks.md has an example.

    Its variables may be in any collections, and it may draw random numbers from any stream, such as
    `dropout`, while `train` is true.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        ...

    @property
    def latent_dim(self) -> int:
        """The size of the noise."""
        ...

    @property
    def num_classes(self) -> int:
        """The number of classes; labels are 0 to num_classes - 1."""
        ...

    def __call__(
        self, noise: Float[Array, "n d"], labels: Labels, *, train: bool
    ) -> SymmetricImages:
        """Generate images in [-1, 1].

        A generator that also takes weights of its classes, [n, num_classes], instead of labels can
        draw between classes; the weights of an image sum to 1.
        """
        ...

    @property
    def init(self) -> Callable[..., PyTree]:
        """`flax.linen.Module.init`."""
        ...

    @property
    def apply(self) -> Callable[..., PyTree]:
        """`flax.linen.Module.apply`."""
        ...


@runtime_checkable
class DiscriminatorNetwork(Protocol):
    """What a Flax module needs to be a discriminator; its collections and streams are as free."""

    def __call__(
        self, images: SymmetricImages, labels: Labels, *, train: bool
    ) -> Float[Array, "n"]:
        """Compute logits, large for real images."""
        ...

    @property
    def init(self) -> Callable[..., PyTree]:
        """`flax.linen.Module.init`."""
        ...

    @property
    def apply(self) -> Callable[..., PyTree]:
        """`flax.linen.Module.apply`."""
        ...


class Generator(nn.Module):
    """Map noise and a label to an image; LeakyReLU in every block, BatchNorm in all but the first.

    The course's `BatchNorm1d(out, 0.8)` sets epsilon, not the momentum, to 0.8. This is kept, and
    weakens the normalization, so that the initial scale of the layers matters.
    """

    image_shape: tuple[int, int, int] = (32, 32, 1)
    latent_dim: int = 100
    num_classes: int = 10
    hidden_dims: tuple[int, ...] = (128, 256, 512, 1024)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, noise: Float[Array, "n d"], labels: Labels | Float[Array, "n k"], *, train: bool
    ) -> SymmetricImages:
        """Generate images; `train` normalizes by the batch and updates the running averages.

        Instead of labels, there may be weights of all classes, which mix their embeddings.
        """
        require_positive(hidden_dims=self.hidden_dims)
        embedding = embed_labels(labels, self.num_classes)
        x = jnp.concatenate([embedding, noise], axis=-1)
        for i, dim in enumerate(self.hidden_dims):
            x = _dense(dim, self.dtype)(x)
            if i > 0:
                x = BatchNorm(epsilon=0.8)(x, train=train)
            x = nn.leaky_relu(x, 0.2)
        x = _dense(math.prod(self.image_shape), self.dtype)(x)
        return nn.tanh(x).reshape(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Map an image and its label to a logit, large for real; dropout in all but the first block."""

    image_shape: tuple[int, int, int] = (32, 32, 1)
    num_classes: int = 10
    hidden_dims: tuple[int, ...] = (512, 512, 512)
    dropout_rate: float = 0.4
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, images: SymmetricImages, labels: Labels, *, train: bool
    ) -> Float[Array, "n"]:
        """Compute logits; `train` applies dropout with the key in `rngs={"dropout": key}`."""
        require_positive(hidden_dims=self.hidden_dims)
        check_image_shape(images, self.image_shape)
        pixels = images.reshape(-1, math.prod(self.image_shape))
        embedding = embed_labels(labels, self.num_classes)
        first, *others = self.hidden_dims
        x = nn.leaky_relu(JoinedDense(first, self.dtype)(pixels, embedding), 0.2)
        for dim in others:
            x = _dense(dim, self.dtype)(x)
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
            x = nn.leaky_relu(x, 0.2)
        return _dense(1, self.dtype)(x).squeeze(-1)


class JoinedDense(nn.Module):
    """`Dense` on two inputs side by side, without concatenating them.

    The inputs have separate gradients. The discriminator's update needs only that of the
    embedding, so the gradient of the images is not computed there.
    """

    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], y: Float[Array, "b e"]) -> Float[Array, "b f"]:
        """Compute [x, y] @ kernel + bias."""
        shape = (x.shape[-1] + y.shape[-1], self.features)
        kernel = self.param("kernel", UNIFORM, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, y, kernel, bias = promote_dtype(x, y, kernel, bias)
        x_kernel, y_kernel = jnp.split(kernel, [x.shape[-1]])
        return matmul(x, x_kernel, self.dtype) + matmul(y, y_kernel, self.dtype) + bias[None]


def embed_labels(labels: Labels | Float[Array, "n k"], num_classes: int) -> Float[Array, "n k"]:
    """Embed labels in the compact network that calls this; weights of all classes mix embeddings.

    The initial values are PyTorch's N(0, 1), which is also the scale of the noise; Flax's default
    is smaller by sqrt(num_classes).
    """
    init = nn.initializers.normal(1.0)
    embed = nn.Embed(num_classes, num_classes, embedding_init=init)
    return embed(labels) if labels.ndim == 1 else labels @ embed.embedding


def _dense(dim: int, dtype: Dtype | None) -> Dense:
    """Create a dense layer with PyTorch's initial kernel, but with biases of zero."""
    return Dense(dim, kernel_init=UNIFORM, dtype=dtype)
