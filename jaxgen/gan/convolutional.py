"""A convolutional generator and discriminator, for images in color.

On color images, the course's MLPs learn little within minutes. The generator is a DCGAN (Radford et
al. 2016) whose noise modulates each layer; the discriminator compares the features of an image with
the embedding of its label (Miyato & Koyama 2018).
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.errors import InputError, require_positive
from jaxgen.gan.models import embed_labels
from jaxgen.layers import Conv, ConvTranspose, Dense
from jaxgen.networks import check_image_shape
from jaxgen.normalization import BatchNorm
from jaxgen.types import Labels, SymmetricImages


class ConvGenerator(nn.Module):
    """Map noise and a label to a small map of features, which each layer doubles in size.

    The map starts at the size that the layers double to the image's, rounded up, and the result is
    cropped. BatchNorm precedes each layer, with a scale and a shift for each image that are linear
    in its noise and its label's embedding (Chen et al. 2019). The size or the color of an image can
    thus follow from the noise; in short trials without them, all images of a batch had nearly the
    same color.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    latent_dim: int = 100
    num_classes: int = 10
    hidden_dims: tuple[int, ...] = (64, 32, 16)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, noise: Float[Array, "n d"], labels: Labels | Float[Array, "n k"], *, train: bool
    ) -> SymmetricImages:
        """Generate images; `train` normalizes by the batch and updates the running averages.

        Instead of labels, there may be weights of all classes, which mix their embeddings.
        """
        check_layers(self.hidden_dims)
        (height, width, channels), factor = self.image_shape, 2 ** len(self.hidden_dims)
        shape = (-(-height // factor), -(-width // factor), self.hidden_dims[0])
        embedding = embed_labels(labels, self.num_classes)
        inputs = jnp.concatenate([embedding, noise], axis=-1)
        x = Dense(math.prod(shape), dtype=self.dtype)(inputs).reshape(-1, *shape)
        for dim in (*self.hidden_dims[1:], channels):
            x = nn.relu(ModulatedBatchNorm(self.dtype)(x, inputs, train=train))
            x = ConvTranspose(dim, (4, 4), padding=((2, 2), (2, 2)), dtype=self.dtype)(x)
        return nn.tanh(x[:, :height, :width])


class ModulatedBatchNorm(nn.Module):
    """BatchNorm with a scale and a shift for each example (self-modulation, Chen et al. 2019)."""

    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], inputs: Float[Array, "n d"], *, train: bool
    ) -> Float[Array, "n h w c"]:
        """Normalize `x`, and modulate it by linear functions of `inputs`."""
        normalized = BatchNorm(affine=False)(x, train=train)
        modulation = Dense(2 * x.shape[-1], dtype=self.dtype)(inputs)
        scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
        return normalized * (1 + scale) + shift


class ConvDiscriminator(nn.Module):
    """Map an image and its label to a logit, large for real; each layer halves the image.

    The logit is a linear function of the features, plus their inner product with the embedding of
    the label (Miyato & Koyama 2018, eq. 3).
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    num_classes: int = 10
    hidden_dims: tuple[int, ...] = (16, 32, 64)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, images: SymmetricImages, labels: Labels, *, train: bool
    ) -> Float[Array, "n"]:
        """Compute logits; `train` has no effect."""
        check_layers(self.hidden_dims)
        check_image_shape(images, self.image_shape)
        x = images
        for dim in self.hidden_dims:
            x = nn.leaky_relu(Conv(dim, strides=(2, 2), dtype=self.dtype)(x), 0.2)
        x = x.reshape(x.shape[0], -1)
        embed = nn.Embed(self.num_classes, x.shape[-1])
        return Dense(1, dtype=self.dtype)(x).squeeze(-1) + jnp.sum(embed(labels) * x, axis=-1)


def check_layers(hidden_dims: tuple[int, ...]) -> None:
    """Raise InputError unless there is a layer, and each has features."""
    if not hidden_dims:
        raise InputError(
            "A convolutional network has at least one layer: add to --generator-dims and "
            "--discriminator-dims."
        )
    require_positive(hidden_dims=hidden_dims)
