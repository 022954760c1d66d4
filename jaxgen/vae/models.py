"""The course's two VAEs: a convolutional one (sec. 3) and an MLP (sec. 1).

With a `dtype`, matrix products round their factors to it; all else is float32.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float, Key, PyTree

from jaxgen.convolution import Implementation
from jaxgen.errors import InputError, require_positive
from jaxgen.layers import Conv, ConvTranspose, Dense
from jaxgen.normalization import BatchNorm, require_variance


@runtime_checkable
class EncoderDecoder(Protocol):
    """What a Flax module needs to be the network of a VAE; docs/networks.md has an example.

    Its variables may be in any collections, and it may draw random numbers from any stream, such as
    `dropout`, while `train` is true.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        ...

    @property
    def latent_dim(self) -> int:
        """The size of the latent space."""
        ...

    def encode(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Compute mean and log-variance of q(z | x)."""
        ...

    def decode(self, z: Float[Array, "b d"], *, train: bool) -> Float[Array, "b h w o"]:
        """Compute the raw outputs of p(x | z), `num_outputs` of the objective for each channel.

        The final tanh or sigmoid belongs to the objective, since a Bernoulli likelihood needs
        logits.
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


class VAEOutput(NamedTuple):
    """The result of a forward pass with k latent samples per image."""

    output: Float[Array, "k b h w o"]
    z: Float[Array, "k b d"]
    mean: Float[Array, "b d"]
    logvar: Float[Array, "b d"]


def reparameterize(
    key: Key[Array, ""], mean: Float[Array, "b d"], logvar: Float[Array, "b d"], num_samples: int
) -> Float[Array, "k b d"]:
    """Sample z = mean + std * eps with eps ~ N(0, I), `num_samples` times (course, eq. 1)."""
    eps = jax.random.normal(key, (num_samples, *mean.shape), mean.dtype)
    return mean[None] + jnp.exp(0.5 * logvar)[None] * eps


def forward(
    model: EncoderDecoder,
    x: Float[Array, "b h w c"],
    key: Key[Array, ""],
    *,
    train: bool,
    num_samples: int = 1,
) -> VAEOutput:
    """Encode, sample and decode (course, sec. 3.5); a `method` for `Module.init` and `apply`."""
    mean, logvar = model.encode(x, train=train)
    z = reparameterize(key, mean, logvar, num_samples)
    output = model.decode(z.reshape(-1, model.latent_dim), train=train)
    return VAEOutput(output.reshape(num_samples, -1, *output.shape[1:]), z, mean, logvar)


class ConvVAE(nn.Module):
    """The course's `VanillaVAE` (sec. 3.1): its layers halve, then double the size of the image.

    Height and width must be multiples of 2^len(hidden_dims). Raises InputError if they are not, or
    if `hidden_dims` is empty.
    """

    image_shape: tuple[int, int, int] = (32, 32, 1)
    latent_dim: int = 128
    hidden_dims: tuple[int, ...] = (32, 64, 128, 256, 512)
    num_outputs: int = 1  # decoder outputs per channel
    dtype: Dtype | None = None
    implementation: Implementation | None = None  # None: the default of the backend

    def setup(self) -> None:
        if not self.hidden_dims:
            raise InputError("A convolutional VAE has at least one layer: add to --hidden-dims.")
        require_positive(hidden_dims=self.hidden_dims, latent_dim=self.latent_dim)
        height, width, channels = self.image_shape
        factor = 2 ** len(self.hidden_dims)
        if height % factor or width % factor:
            raise InputError(
                f"{height}x{width} images cannot be halved {len(self.hidden_dims)} times: choose "
                f"an --image-size divisible by {factor}, or fewer --hidden-dims."
            )
        self.map_shape = (height // factor, width // factor, self.hidden_dims[-1])

        options = {"dtype": self.dtype, "implementation": self.implementation}
        self.encoder = [
            Conv(dim, strides=(2, 2), freeze_bias=True, **options) for dim in self.hidden_dims
        ]
        self.encoder_norms = [BatchNorm() for _ in self.hidden_dims]
        self.fc_mean = Dense(self.latent_dim, dtype=self.dtype)
        self.fc_logvar = Dense(self.latent_dim, dtype=self.dtype)

        # The last width is repeated: the final layer doubles the image and keeps its width.
        decoder_dims = (*self.hidden_dims[-2::-1], self.hidden_dims[0])
        self.decoder_input = Dense(math.prod(self.map_shape), dtype=self.dtype)
        self.decoder = [ConvTranspose(dim, freeze_bias=True, **options) for dim in decoder_dims]
        self.decoder_norms = [BatchNorm() for _ in decoder_dims]
        self.final = Conv(channels * self.num_outputs, **options)

    def encode(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Compute mean and log-variance of q(z | x) (course, sec. 3.2)."""
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = conv(x)
            if train:
                require_variance(x)
            x = nn.leaky_relu(norm(x, train=train))
        x = x.reshape(x.shape[0], -1)
        return self.fc_mean(x), self.fc_logvar(x)

    def decode(self, z: Float[Array, "b d"], *, train: bool) -> Float[Array, "b h w o"]:
        """Compute the raw outputs of p(x | z) (course, sec. 3.3, without its tanh)."""
        x = self.decoder_input(z).reshape(-1, *self.map_shape)
        for conv, norm in zip(self.decoder, self.decoder_norms, strict=True):
            x = nn.leaky_relu(norm(conv(x), train=train))
        return self.final(x)

    def __call__(
        self, x: Float[Array, "b h w c"], key: Key[Array, ""], *, train: bool, num_samples: int = 1
    ) -> VAEOutput:
        """Encode, sample and decode (course, sec. 3.5); `train` updates the batch statistics."""
        return forward(self, x, key, train=train, num_samples=num_samples)


class MLPVAE(nn.Module):
    """The course's MLP (sec. 1): hidden layers, then mean and log-variance in parallel.

    The decoder's hidden layers mirror the encoder's. The course's activation is ReLU, that of Burda
    et al. 2016 tanh.
    """

    image_shape: tuple[int, int, int] = (32, 32, 1)
    latent_dim: int = 32
    hidden_dims: tuple[int, ...] = (512, 512)
    num_outputs: int = 1
    dtype: Dtype | None = None
    activation: Literal["relu", "tanh"] = "relu"

    def setup(self) -> None:
        require_positive(hidden_dims=self.hidden_dims, latent_dim=self.latent_dim)
        dense = partial(Dense, dtype=self.dtype)
        self.encoder = [dense(dim) for dim in self.hidden_dims]
        self.fc_mean = dense(self.latent_dim)
        self.fc_logvar = dense(self.latent_dim)
        self.decoder = [dense(dim) for dim in reversed(self.hidden_dims)]
        self.final = dense(math.prod(self.image_shape) * self.num_outputs)

    def encode(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Compute mean and log-variance of q(z | x)."""
        x = self._apply_hidden(self.encoder, x.reshape(x.shape[0], -1))
        return self.fc_mean(x), self.fc_logvar(x)

    def decode(self, z: Float[Array, "b d"], *, train: bool) -> Float[Array, "b h w o"]:
        """Compute the raw outputs of p(x | z), without the course's sigmoid."""
        height, width, channels = self.image_shape
        x = self.final(self._apply_hidden(self.decoder, z))
        return x.reshape(-1, height, width, channels * self.num_outputs)

    def __call__(
        self, x: Float[Array, "b h w c"], key: Key[Array, ""], *, train: bool, num_samples: int = 1
    ) -> VAEOutput:
        """Encode, sample and decode; `train` has no effect on an MLP."""
        return forward(self, x, key, train=train, num_samples=num_samples)

    def _apply_hidden(self, layers: Sequence[Dense], x: Float[Array, "b _"]) -> Float[Array, "b _"]:
        activate = {"relu": nn.relu, "tanh": nn.tanh}[self.activation]
        for layer in layers:
            x = activate(layer(x))
        return x
