"""Annealed importance sampling of log p(x), from the prior to the posterior (Wu et al. 2017).

The chains pass through p(z) p(x | z)^beta, with p(z) = N(0, I), while beta rises from 0 to 1, by
transitions of Hamiltonian Monte Carlo. The step sizes are tuned by a pilot pass and are fixed
afterwards, so that the estimates remain unbiased. Rows are chains of images: chain c of image i is
row `c * num_images + i`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

Images = Float[Array, "n h w c"]  # as the model sees them
Latents = Float[Array, "n d"]
LogLikelihood = Callable[[Latents], Float[Array, "n"]]  # log p(x | z) of each row
Schedule = Float[Array, "t"]  # from 0 to 1

ACCEPTANCE = 0.65  # of Hamiltonian Monte Carlo at its best (Beskos et al. 2013)
ADAPTATION_RATE = 0.1
FIRST_STEP_SIZE = 0.5
PILOT_CHAINS = 2


class Point(NamedTuple):
    """Latents, with log p(x | z) and its gradient."""

    z: Latents
    log_likelihood: Float[Array, "n"]
    grad: Latents


class Pass(NamedTuple):
    """The outcome of a pass through all temperatures."""

    log_weight: Float[Array, "n"]
    acceptance: Float[Array, ""]
    """The share of accepted proposals."""


class Bounds(NamedTuple):
    """Bounds on log p(x) in nats, each of which holds in expectation."""

    lower: Float[Array, "b"]
    upper: Float[Array, "b"]
    """Infinite without exact samples of the posterior."""
    acceptance: Float[Array, ""]
    """The share of accepted proposals on the way to the posterior."""


def linear_schedule(num_temperatures: int) -> Schedule:
    """Space `num_temperatures` steps evenly."""
    return jnp.linspace(0.0, 1.0, num_temperatures + 1)


def sigmoid_schedule(num_temperatures: int, delta: float = 4.0) -> Schedule:
    """Space the steps densely near both ends (Wu et al. 2017, sec. 4.1)."""
    values = jax.nn.sigmoid(jnp.linspace(-delta, delta, num_temperatures + 1))
    return (values - values[0]) / (values[-1] - values[0])


def bounds(
    log_joint: Callable[[Images, Latents], Float[Array, "n"]],
    x: Images,
    posterior: Float[Array, "b d"] | None,
    key: Key[Array, ""],
    *,
    latent_dim: int,
    num_chains: int,
    schedule: Schedule,
    num_leapfrog: int,
) -> Bounds:
    """Bound log p(x) from below and, given a sample of the posterior of each image, from above.

    `log_joint` is log p(x, z) in nats. The latent that x was simulated from is an exact sample of
    its posterior (bidirectional Monte Carlo, Grosse et al. 2015).
    """
    num_images = x.shape[0]
    pilot_key, tune_key, start_key, there_key, back_key = jax.random.split(key, 5)

    def likelihood(num_chains: int) -> LogLikelihood:
        rows = jnp.tile(x, (num_chains, 1, 1, 1))
        return lambda z: log_joint(rows, z) - norm.logpdf(z).sum(axis=1)

    pilot = jax.random.normal(pilot_key, (PILOT_CHAINS * num_images, latent_dim))
    step_sizes = tune_step_sizes(
        likelihood(PILOT_CHAINS),
        pilot,
        schedule,
        tune_key,
        num_images=num_images,
        num_leapfrog=num_leapfrog,
    )
    start = jax.random.normal(start_key, (num_chains * num_images, latent_dim))
    there = anneal(
        likelihood(num_chains), start, schedule, step_sizes, there_key, num_leapfrog=num_leapfrog
    )
    lower = log_mean(there.log_weight, num_images)
    if posterior is None:
        return Bounds(lower, jnp.full_like(lower, jnp.inf), there.acceptance)
    end = jnp.tile(posterior, (num_chains, 1))
    back = anneal(
        likelihood(num_chains),
        end,
        schedule,
        step_sizes,
        back_key,
        num_leapfrog=num_leapfrog,
        reverse=True,
    )
    return Bounds(lower, -log_mean(back.log_weight, num_images), there.acceptance)


def evaluate(log_likelihood: LogLikelihood, z: Latents) -> Point:
    """Compute the log-likelihood and its gradient of each row."""
    value, vjp = jax.vjp(log_likelihood, z)
    return Point(z, value, vjp(jnp.ones_like(value))[0])


def hamiltonian_step(
    log_likelihood: LogLikelihood,
    point: Point,
    beta: Float[Array, ""],
    step_size: Float[Array, "n"],
    key: Key[Array, ""],
    num_leapfrog: int,
) -> tuple[Point, Float[Array, "n"]]:
    """Move each row, leaving p(z) p(x | z)^beta invariant; also return acceptance probabilities."""
    momentum_key, accept_key = jax.random.split(key)
    step = step_size[:, None]

    def force(point: Point) -> Latents:
        return beta * point.grad - point.z

    def energy(point: Point, momentum: Latents) -> Float[Array, "n"]:
        return 0.5 * (point.z**2 + momentum**2).sum(axis=1) - beta * point.log_likelihood

    def leapfrog(moving: tuple[Point, Latents], _: None) -> tuple[tuple[Point, Latents], None]:
        point, momentum = moving
        momentum = momentum + 0.5 * step * force(point)
        point = evaluate(log_likelihood, point.z + step * momentum)
        return (point, momentum + 0.5 * step * force(point)), None

    momentum = jax.random.normal(momentum_key, point.z.shape)
    (proposal, last), _ = lax.scan(leapfrog, (point, momentum), length=num_leapfrog)
    log_ratio = energy(point, momentum) - energy(proposal, last)
    # a trajectory that diverges to NaN is rejected
    probability = jnp.nan_to_num(jnp.exp(jnp.minimum(log_ratio, 0.0)))
    accepted = jax.random.uniform(accept_key, probability.shape) < probability
    choose = lambda new, old: jnp.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old)  # noqa: E731
    return jax.tree.map(choose, proposal, point), probability


def tune_step_sizes(
    log_likelihood: LogLikelihood,
    z: Latents,
    schedule: Schedule,
    key: Key[Array, ""],
    *,
    num_images: int,
    num_leapfrog: int,
) -> Float[Array, "steps b"]:
    """Find a step size for each temperature and image, in a pass from z ~ N(0, I).

    The logarithm of the step size follows the difference between the acceptance probability, which
    is averaged over the chains of the image, and `ACCEPTANCE`.
    """
    num_chains = z.shape[0] // num_images

    def temper(carry, inputs):
        point, log_step = carry
        beta, index = inputs
        steps = jnp.tile(jnp.exp(log_step), num_chains)
        step_key = jax.random.fold_in(key, index)
        point, probability = hamiltonian_step(
            log_likelihood, point, beta, steps, step_key, num_leapfrog
        )
        acceptance = probability.reshape(num_chains, num_images).mean(axis=0)
        new = log_step + ADAPTATION_RATE * (acceptance - ACCEPTANCE)
        return (point, new), jnp.exp(log_step)

    start = evaluate(log_likelihood, z), jnp.full(num_images, jnp.log(FIRST_STEP_SIZE))
    indices = jnp.arange(len(schedule) - 1)
    _, step_sizes = lax.scan(temper, start, (schedule[1:], indices))
    return step_sizes


def anneal(
    log_likelihood: LogLikelihood,
    z: Latents,
    schedule: Schedule,
    step_sizes: Float[Array, "steps b"],
    key: Key[Array, ""],
    *,
    num_leapfrog: int,
    reverse: bool = False,
) -> Pass:
    """Pass from z ~ N(0, I) to the posterior: exp(log_weight) has the expectation p(x).

    With `reverse`, pass from z ~ p(z | x) to the prior: the expectation is 1 / p(x). The
    transitions are the same, in the opposite order.
    """
    num_chains = z.shape[0] // step_sizes.shape[1]

    def temper(carry, inputs):
        point, log_weight = carry
        previous, beta, step_size, index = inputs
        steps, step_key = jnp.tile(step_size, num_chains), jax.random.fold_in(key, index)
        before = point
        point, probability = hamiltonian_step(
            log_likelihood, point, beta, steps, step_key, num_leapfrog
        )
        # The weight follows beta before the transition on the way up, after it on the way down.
        gain = (
            (previous - beta) * point.log_likelihood
            if reverse
            else (beta - previous) * before.log_likelihood
        )
        return (point, log_weight + gain), probability.mean()

    start = evaluate(log_likelihood, z), jnp.zeros(z.shape[0])
    inputs = schedule[:-1], schedule[1:], step_sizes, jnp.arange(len(schedule) - 1)
    (_, log_weight), acceptance = lax.scan(temper, start, inputs, reverse=reverse)
    return Pass(log_weight, acceptance.mean())


def log_mean(log_weight: Float[Array, "n"], num_images: int) -> Float[Array, "b"]:
    """Average the weights of the chains of each image, as logarithms."""
    by_chain = log_weight.reshape(-1, num_images)
    return jax.nn.logsumexp(by_chain, axis=0) - jnp.log(by_chain.shape[0])
