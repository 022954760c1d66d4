"""What a VAE maximises: likelihoods of images given latents, the KL divergence, and two bounds.

Every function is per example and unreduced: it sums over an example's own axes and returns `[b]`.
A negative log-likelihood (`nll`) and a KL are in nats and positive as the loss sees them.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, UInt8

from jaxgen.errors import require_positive

Images = Float[Array, "b h w c"]
Outputs = Float[Array, "b h w _"]  # a decoder's raw outputs, before any activation
PerExample = Float[Array, "b"]


def gaussian_kl(mean: Float[Array, "b d"], logvar: Float[Array, "b d"]) -> PerExample:
    """KL(N(mean, exp(logvar)) || N(0, I)) in nats (Kingma & Welling 2014, appendix B)."""
    return 0.5 * jnp.sum(jnp.expm1(logvar) - logvar + mean**2, axis=-1)


def gaussian_nll(
    mean: Float[Array, "b ..."], logvar: Float[Array, "..."], x: Float[Array, "b ..."]
) -> PerExample:
    """-log N(x; mean, exp(logvar)) in nats; `logvar` broadcasts against `x`."""
    terms = 0.5 * (jnp.log(2 * jnp.pi) + logvar + (x - mean) ** 2 * jnp.exp(-logvar))
    return _sum_per_example(jnp.broadcast_to(terms, x.shape))


def bernoulli_nll(logits: Float[Array, "b ..."], x: Float[Array, "b ..."]) -> PerExample:
    """-log Bernoulli(x; sigmoid(logits)) in nats, finite for every finite logit."""
    return _sum_per_example(optax.sigmoid_binary_cross_entropy(logits, x))


def pixel_mse(mean: Float[Array, "b ..."], x: Float[Array, "b ..."]) -> PerExample:
    """The squared error averaged over pixels, as PyTorch's `F.mse_loss`; not in nats."""
    return _sum_per_example(optax.squared_error(mean, x)) / x[0].size


def importance_weighted_bound(log_weights: Float[Array, "k b"]) -> PerExample:
    """log(1/k sum_i w_i), a lower bound on log p(x) in nats (Burda et al. 2016, eq. 8).

    With w_i = p(x | z_i) p(z_i) / q(z_i | x). It rises with k; one sample gives the ELBO.
    """
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


def log_density_ratio(
    z: Float[Array, "k b d"], mean: Float[Array, "b d"], logvar: Float[Array, "b d"]
) -> Float[Array, "k b"]:
    """log p(z) - log q(z | x) in nats; for z ~ q its expectation is -KL."""
    log_prior = -jax.vmap(lambda z: gaussian_nll(jnp.zeros_like(z), jnp.zeros(()), z))(z)
    log_posterior = -jax.vmap(lambda z: gaussian_nll(mean, logvar, z))(z)
    return log_prior - log_posterior


class Objective(NamedTuple):
    """What a decoder's raw output means, and what training makes of it."""

    observe: Callable[[UInt8[Array, "b h w c"], Key[Array, ""]], Images]
    """The pixels as the model sees them, drawn anew with each key where that is random."""
    mean: Callable[[Outputs], Images]
    """The expected image, in [0, 1]."""
    nll: Callable[[Outputs, Images], PerExample]
    """-log p(x | z) in nats."""
    loss: Callable[[Outputs, Images, PerExample], PerExample]
    """What training minimises, from output, x and the (weighted) KL."""
    num_outputs: int = 1
    """Decoder outputs for each value of a pixel."""


def bernoulli() -> Objective:
    """The ELBO under Bernoulli pixels, with dynamic binarisation (Burda et al. 2016, sec. 5.1).

    Each time an image is seen, every pixel is drawn as 1 with its grey value as probability.
    """

    def observe(image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> Images:
        return jax.random.bernoulli(key, image / 255).astype(jnp.float32)

    return Objective(
        observe=observe,
        mean=jax.nn.sigmoid,
        nll=bernoulli_nll,
        loss=lambda output, x, kl: bernoulli_nll(output, x) + kl,
    )


Activation = Literal["sigmoid", "tanh"]


def gaussian(activation: Activation, variance: float) -> Objective:
    """The ELBO under Gaussian pixels of one fixed variance, in the activation's units.

    Raises InputError if the variance is not positive.
    """
    require_positive(variance=variance)
    pixels = _pixels(activation)
    logvar = jnp.log(variance)

    def nll(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(pixels.activate(output), logvar, x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(pixels.activate(output)),
        nll=nll,
        loss=lambda output, x, kl: nll(output, x) + kl,
    )


MIN_LOGVAR = -6.0  # without a floor, pixels that never vary drive the likelihood to infinity


def gaussian_learned(activation: Activation) -> Objective:
    """The ELBO under Gaussian pixels whose variance the decoder gives, softly above exp(-6).

    The decoder's channels are the means, then the raw log-variances (Rybkin et al. 2021, sec. 4).
    """
    pixels = _pixels(activation)

    def nll(output: Outputs, x: Images) -> PerExample:
        mean, raw = jnp.split(output, 2, axis=-1)
        logvar = MIN_LOGVAR + jax.nn.softplus(raw - MIN_LOGVAR)
        return gaussian_nll(pixels.activate(mean), logvar, x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(pixels.activate(jnp.split(output, 2, axis=-1)[0])),
        nll=nll,
        loss=lambda output, x, kl: nll(output, x) + kl,
        num_outputs=2,
    )


def course(activation: Activation, kld_weight: float) -> Objective:
    """The course's loss: the pixel-mean squared error + kld_weight * KL (spec 3.6).

    `kld_weight` is its `M_N`, batch size over data set size. With D pixel values the loss is
    kld_weight times a Gaussian ELBO of variance D * kld_weight / 2, up to a constant: that is the
    likelihood `nll` reports in nats. Raises InputError if `kld_weight` is not positive.
    """
    require_positive(kld_weight=kld_weight)
    pixels = _pixels(activation)

    def nll(output: Outputs, x: Images) -> PerExample:
        logvar = jnp.log(x[0].size * kld_weight / 2)
        return gaussian_nll(pixels.activate(output), logvar, x)

    return Objective(
        observe=pixels.scale,
        mean=lambda output: pixels.unit(pixels.activate(output)),
        nll=nll,
        loss=lambda output, x, kl: pixel_mse(pixels.activate(output), x) + kld_weight * kl,
    )


class _Pixels(NamedTuple):
    """The range in which a Gaussian decoder and its targets live."""

    activate: Callable[[Array], Array]
    scale: Callable[[Array, Array], Array]  # (uint8 image, unused key) -> range
    unit: Callable[[Array], Array]  # range -> [0, 1]


def _pixels(activation: Activation) -> _Pixels:
    if activation == "sigmoid":
        return _Pixels(jax.nn.sigmoid, lambda image, key: image / 255, lambda x: x)
    return _Pixels(jnp.tanh, lambda image, key: image / 127.5 - 1, lambda x: (x + 1) / 2)


def _sum_per_example(terms: Float[Array, "b ..."]) -> PerExample:
    return terms.reshape(terms.shape[0], -1).sum(axis=-1)
