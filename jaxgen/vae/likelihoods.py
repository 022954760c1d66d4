"""Likelihoods of images given latents, the KL divergence, and bounds on log p(x).

Functions are per example and unreduced: they sum over the axes of each example and return `[b]`.
Negative log-likelihoods and KL divergences are in nats.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

PerExample = Float[Array, "b"]

LEVEL = 2 / 255  # distance of neighboring 8-bit levels in [-1, 1]


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


def discretized_logistic_nll(
    mean: Float[Array, "b ..."], log_scale: Float[Array, "b ..."], x: Float[Array, "b ..."]
) -> PerExample:
    """Compute -log P(x) in nats of 8-bit pixels in [-1, 1], rounded from a logistic variable.

    The probability of a level is that of its bin, and the lowest and highest bins extend to
    infinity, so that the 256 probabilities add up to 1 (Kingma et al. 2016, app. C; Salimans et al.
    2017, sec. 2.1). It is computed without cancellation, by
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
    """
    inverse_scale = jnp.exp(-log_scale)
    below_top = jax.nn.log_sigmoid((x - mean + LEVEL / 2) * inverse_scale)
    above_bottom = jax.nn.log_sigmoid((mean - x + LEVEL / 2) * inverse_scale)
    between = jnp.log(-jnp.expm1(-LEVEL * inverse_scale))
    is_lowest, is_highest = x < -1 + LEVEL / 2, x > 1 - LEVEL / 2
    terms = jnp.where(
        is_lowest,
        below_top,
        jnp.where(is_highest, above_bottom, below_top + above_bottom + between),
    )
    return -_sum_per_example(terms)


def discretized_logistic_sample(
    mean: Float[Array, "b ..."], log_scale: Float[Array, "b ..."], key: Key[Array, ""]
) -> Float[Array, "b ..."]:
    """Draw 8-bit pixels in [-1, 1] from the probabilities of `discretized_logistic_nll`."""
    x = mean + jnp.exp(log_scale) * jax.random.logistic(key, mean.shape, mean.dtype)
    return jnp.clip(jnp.round((x + 1) / LEVEL), 0, 255) * LEVEL - 1


def clipped_logistic_mean(
    mean: Float[Array, "b ..."], log_scale: Float[Array, "b ..."]
) -> Float[Array, "b ..."]:
    """Compute the expectation of a logistic variable that is clipped to [-1, 1].

    It is the integral of the survival function over [-1, 1], minus 1.
    """
    scale, softplus = jnp.exp(log_scale), jax.nn.softplus
    integral = scale * (softplus((mean + 1) / scale) - softplus((mean - 1) / scale))
    return jnp.clip(integral - 1, -1, 1)


def pixel_mse(mean: Float[Array, "b ..."], x: Float[Array, "b ..."]) -> PerExample:
    """Average the squared error over pixels, as PyTorch's `F.mse_loss` does; not in nats."""
    return _sum_per_example(optax.squared_error(mean, x)) / x[0].size


def bits_per_dim(
    nll: Float[Array, "..."], num_dims: int, level: float = 1.0
) -> Float[Array, "..."]:
    """Convert -log p(x) in nats to bits per 8-bit value.

    `level` is 1 for a probability. For a density of dequantized pixels it is the width of an 8-bit
    level in the units of x, and the result is an upper bound (Theis et al. 2016, sec. 3.1).
    """
    return (nll / num_dims - math.log(level)) / math.log(2)


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


def _sum_per_example(terms: Float[Array, "b ..."]) -> PerExample:
    return terms.reshape(terms.shape[0], -1).sum(axis=-1)
