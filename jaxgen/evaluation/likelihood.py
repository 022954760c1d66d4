"""The likelihood of images under a latent-variable model, and how much of the latents it uses."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

Images = Float[Array, "b h w c"]  # as the model sees them
LogWeights = Callable[[Images, Key[Array, ""], int], Float[Array, "k b"]]
Observe = Callable[[UInt8[Array, "b h w c"], Key[Array, ""]], Images]
Binarization = Literal["dynamic", "fixed", "none", "dequantized"]

ACTIVE_COVARIANCE = 0.01


class Estimate(NamedTuple):
    """Estimates from k samples z ~ q(z | x) of each image, in nats."""

    log_likelihood: Float[Array, "b"]
    """The importance-weighted bound, which is at most log p(x) in expectation."""
    elbo: Float[Array, "b"]
    """The mean over the k samples."""
    effective_samples: Float[Array, "b"]
    """(sum w)^2 / sum w^2: near 1, one sample carries the estimate and the bound is loose."""


def importance_weighted_estimate(
    log_weights: LogWeights, x: Images, key: Key[Array, ""], *, num_samples: int, chunk_size: int
) -> Estimate:
    """Compute log(1/k sum_i p(x, z_i) / q(z_i | x)) with k = `num_samples` (Burda et al. 2016).

    The memory is that of `chunk_size` samples, whatever their number. Chunk i draws its samples
    from `fold_in(key, i)`.
    """

    def add(sums: Estimate, index: Int[Array, ""]) -> tuple[Estimate, None]:
        log_w = log_weights(x, jax.random.fold_in(key, index), chunk_size)
        surplus = (index * chunk_size + jnp.arange(chunk_size) >= num_samples)[:, None]
        counted = jnp.where(surplus, -jnp.inf, log_w)
        sums = Estimate(
            jnp.logaddexp(sums.log_likelihood, jax.nn.logsumexp(counted, axis=0)),
            sums.elbo + jnp.where(surplus, 0.0, log_w).sum(axis=0) / num_samples,
            jnp.logaddexp(sums.effective_samples, jax.nn.logsumexp(2 * counted, axis=0)),
        )
        return sums, None

    start = Estimate(*jnp.full((3, x.shape[0]), -jnp.inf).at[1].set(0.0))
    sums, _ = lax.scan(add, start, jnp.arange(-(-num_samples // chunk_size)))
    return Estimate(
        log_likelihood=sums.log_likelihood - jnp.log(num_samples),
        elbo=sums.elbo,
        effective_samples=jnp.exp(2 * sums.log_likelihood - sums.effective_samples),
    )


def active_units(posterior_mean: Float[Array, "n d"]) -> Float[Array, "d"]:
    """Compute Cov_x(E[z | x]) of each latent dimension (Burda et al. 2016, sec. 5.3).

    A unit is active if it exceeds `ACTIVE_COVARIANCE`.
    """
    return posterior_mean.var(axis=0)


def describe_binarization(
    observe: Observe, image: UInt8[Array | np.ndarray, "b h w c"]
) -> Binarization:
    """Find out how a model sees 8-bit images.

    "dynamic": each time sampled as 0 or 1; "fixed": 0 or 1, always the same; "none": a function of
    the pixels; "dequantized": with noise.
    """
    first, second = (observe(jnp.asarray(image), jax.random.key(seed)) for seed in (0, 1))
    is_random = bool((first != second).any())
    if bool(((first == 0) | (first == 1)).all()):
        return "dynamic" if is_random else "fixed"
    return "dequantized" if is_random else "none"
