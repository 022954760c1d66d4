"""Likelihoods of images given latents, the KL divergence, and two bounds on log p(x).

Functions are per example and unreduced: they sum over the axes of each example and return `[b]`.
Negative log-likelihoods and KL divergences are in nats, and are added to the loss as they are.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, UInt8

from jaxgen.errors import require_positive
from jaxgen.pixels import symmetric_to_unit, to_symmetric, to_unit
from jaxgen.types import UnitImages

Images = Float[Array, "b h w c"]  # in the range of the objective
Outputs = Float[Array, "b h w _"]  # a decoder's raw outputs, before any activation
PerExample = Float[Array, "b"]


def gaussian_kl(mean: Float[Array, "b d"], logvar: Float[Array, "b d"]) -> PerExample:
    """Compute KL(N(mean, exp(logvar)) || N(0, I)) in nats (Kingma & Welling 2014, app. B)."""
    return 0.5 * jnp.sum(jnp.expm1(logvar) - logvar + mean**2, axis=-1)


def gaussian_nll(
    mean: Float[Array, "b ..."], logvar: Float[Array, "..."], x: Float[Array, "b ..."]
) -> PerExample:
    """Compute -log N(x; mean, exp(logvar)) in nats; `logvar` broadcasts against `x`."""
    terms = 0.5 * (jnp.log(2 * jnp.pi) + logvar + (x - mean) ** 2 * jnp.exp(-logvar))
    return _sum_per_example(jnp.broadcast_to(terms, x.shape))


def gaussian_sample(
    mean: Float[Array, "b ..."], logvar: Float[Array, "..."], key: Key[Array, ""]
) -> Float[Array, "b ..."]:
    """Draw from N(mean, exp(logvar)); `logvar` broadcasts against `mean`."""
    return mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, mean.dtype)


def bernoulli_nll(logits: Float[Array, "b ..."], x: Float[Array, "b ..."]) -> PerExample:
    """Compute -log Bernoulli(x; sigmoid(logits)) in nats, finite for every finite logit."""
    # Two sums, since XLA:CPU does not vectorize them as one, which takes four times as long.
    return _sum_per_example(jax.nn.softplus(logits)) - _sum_per_example(logits * x)


def pixel_mse(mean: Float[Array, "b ..."], x: Float[Array, "b ..."]) -> PerExample:
    """Average the squared error over pixels, as PyTorch's `F.mse_loss` does; not in nats."""
    return _sum_per_example(optax.squared_error(mean, x)) / x[0].size


def log_standard_normal(z: Float[Array, "b d"]) -> PerExample:
    """Compute log N(z; 0, I), the log-density of the prior, in nats."""
    return -gaussian_nll(jnp.zeros_like(z), jnp.zeros(()), z)


def importance_weighted_bound(log_weights: Float[Array, "k b"]) -> PerExample:
    """Compute log(1/k sum_i w_i), a lower bound on log p(x) in nats (Burda et al. 2016, eq. 8).

    The weights are w_i = p(x, z_i) / q(z_i | x). The bound rises with k in expectation; k = 1 is
    the ELBO.
    """
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


def log_density_ratio(
    z: Float[Array, "k b d"], mean: Float[Array, "b d"], logvar: Float[Array, "b d"]
) -> Float[Array, "k b"]:
    """Compute log p(z) - log q(z | x) in nats; its expectation over q is -KL."""
    log_prior = jax.vmap(log_standard_normal)(z)
    log_posterior = -jax.vmap(lambda z: gaussian_nll(mean, logvar, z))(z)
    return log_prior - log_posterior


class Objective(NamedTuple):
    """The likelihood that a decoder's raw output parameterizes, and the training loss."""

    observe: Callable[[UInt8[Array, "b h w c"], Key[Array, ""]], Images]
    """The model's input from 8-bit pixels; the key serves random binarization."""
    mean: Callable[[Outputs], UnitImages]
    """The expected image."""
    reconstruction: Callable[[Outputs, Images], PerExample]
    """-log p(x | z) in nats."""
    loss: Callable[[Outputs, Images, PerExample], PerExample]
    """The training loss, from output, x and the weighted KL in nats."""
    simulate: Callable[[Outputs, Key[Array, ""]], Images]
    """x ~ p(x | z)."""
    num_outputs: int = 1
    """Decoder outputs per channel."""


def bernoulli() -> Objective:
    """The ELBO under Bernoulli pixels, with dynamic binarization (Burda et al. 2016, sec. 5.1).

    Each time an image is seen, every pixel is sampled as 1 with its gray value as probability.
    """

    def observe(image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> Images:
        return jax.random.bernoulli(key, to_unit(image)).astype(jnp.float32)

    return Objective(
        observe=observe,
        mean=jax.nn.sigmoid,
        reconstruction=bernoulli_nll,
        loss=lambda output, x, kl: bernoulli_nll(output, x) + kl,
        simulate=lambda output, key: jax.random.bernoulli(key, jax.nn.sigmoid(output)).astype(
            jnp.float32
        ),
    )


Activation = Literal["sigmoid", "tanh"]


def gaussian(activation: Activation, variance: float) -> Objective:
    """The ELBO under Gaussian pixels with a fixed variance, in units of the activation's range.

    Raises InputError if the variance is not positive.
    """
    require_positive(variance=variance)
    pixels = _pixel_range(activation)
    logvar = jnp.log(variance)

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(pixels.activate(output), logvar, x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(pixels.activate(output)),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: gaussian_sample(pixels.activate(output), logvar, key),
    )


MIN_LOGVAR = -6.0  # without it, constant pixels drive the likelihood to infinity


def gaussian_learned(activation: Activation) -> Objective:
    """The ELBO under Gaussian pixels with learned variances, softly bounded below by exp(-6).

    The decoder outputs the means, then the raw log-variances (Rybkin et al. 2021, sec. 4).
    """
    pixels = _pixel_range(activation)

    def parameters(output: Outputs) -> tuple[Images, Images]:
        mean, raw = jnp.split(output, 2, axis=-1)
        return pixels.activate(mean), MIN_LOGVAR + jax.nn.softplus(raw - MIN_LOGVAR)

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(*parameters(output), x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(parameters(output)[0]),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: gaussian_sample(*parameters(output), key),
        num_outputs=2,
    )


def course(activation: Activation, kl_weight: float) -> Objective:
    """The course's loss: the pixel-mean squared error + kl_weight * KL (sec. 3.6).

    `kl_weight` is its `M_N`, batch size over data set size. With D pixel values the loss equals
    kl_weight times the negative ELBO under Gaussian pixels with variance D * kl_weight / 2, up to a
    constant; `reconstruction` is that of these pixels. Raises InputError if `kl_weight` is not
    positive.
    """
    require_positive(kl_weight=kl_weight)
    pixels = _pixel_range(activation)

    def logvar(x: Images | Outputs) -> Float[Array, ""]:
        return jnp.log(x[0].size * kl_weight / 2)

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(pixels.activate(output), logvar(x), x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(pixels.activate(output)),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: pixel_mse(pixels.activate(output), x) + kl_weight * kl,
        simulate=lambda output, key: gaussian_sample(pixels.activate(output), logvar(output), key),
    )


class _PixelRange(NamedTuple):
    """The range of a Gaussian decoder's means and of its targets."""

    activate: Callable[[Array], Array]
    scale: Callable[[Array, Array], Array]  # of (8-bit image, unused key)
    unit: Callable[[Array], Array]  # to [0, 1]


def _pixel_range(activation: Activation) -> _PixelRange:
    if activation == "sigmoid":
        return _PixelRange(jax.nn.sigmoid, lambda image, key: to_unit(image), lambda x: x)
    return _PixelRange(jnp.tanh, lambda image, key: to_symmetric(image), symmetric_to_unit)


def _sum_per_example(terms: Float[Array, "b ..."]) -> PerExample:
    return terms.reshape(terms.shape[0], -1).sum(axis=-1)
