"""Evaluate the likelihood of a latent-variable model on the test set."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree
from rich.progress import Progress

from jaxgen.errors import InputError
from jaxgen.evaluation import annealing, likelihood
from jaxgen.evaluation.annealing import Bounds
from jaxgen.evaluation.likelihood import ACTIVE_COVARIANCE, Estimate
from jaxgen.runner.evaluation_options import LikelihoodOptions
from jaxgen.runner.progress import stage, track
from jaxgen.training import loop
from jaxgen.types import Batch, Learner

Results = dict[str, object]
Images = Float[np.ndarray, "n h w c"]  # as the model sees them
Latents = Float[np.ndarray, "n d"]

METRICS_BATCH = 500
WEIGHTS_BATCH = 25  # images
CHUNK_SIZE = 10  # latent samples of each of these images in memory at a time
ANNEALED_BATCH = 50
NUM_LEAPFROG = 10  # as Wu et al. do


class Keys(NamedTuple):
    """The PRNG keys of an evaluation, one for each purpose."""

    metrics: Key[Array, ""]
    encode: Key[Array, ""]
    choose: Key[Array, ""]
    observe: Key[Array, ""]
    observe_annealed: Key[Array, ""]
    weights: Key[Array, ""]
    anneal: Key[Array, ""]
    annealed_weights: Key[Array, ""]
    latents: Key[Array, ""]
    simulate: Key[Array, ""]
    simulated_weights: Key[Array, ""]
    simulated_anneal: Key[Array, ""]


def evaluate_likelihood(
    learner: Learner,
    state: PyTree,
    test: Batch,
    options: LikelihoodOptions,
    seed_key: Key[Array, ""],
    progress: Progress,
) -> Results:
    """Estimate the likelihood of test images. Raises InputError if the model has none."""
    if learner.log_weights is None or learner.observe is None or learner.encode is None:
        raise InputError("The model has no encoder, so that its likelihood cannot be estimated.")
    keys = Keys(*jax.random.split(seed_key, len(Keys._fields)))
    metrics = test_metrics(learner, state, test, keys.metrics, progress)
    chosen = test.image[np.asarray(jax.random.permutation(keys.choose, len(test.label)))]
    observe = jax.jit(learner.observe)
    x = np.asarray(observe(chosen[: options.num_images], keys.observe))
    weighted = importance_weighted(learner, state, x, options, keys.weights, progress)
    summary = {
        "num_images": len(x),
        "num_importance_samples": options.num_importance_samples,
        "nll_nats": float(-weighted.log_likelihood.mean()),
        "standard_error_nats": standard_error(weighted.log_likelihood),
        "negative_elbo_nats": float(-weighted.elbo.mean()),
        "median_effective_samples": float(np.median(weighted.effective_samples)),
    }
    if learner.bits_per_dim is not None:
        bits = learner.bits_per_dim(-jnp.asarray(weighted.log_likelihood))
        summary["bits_per_dim"] = float(bits.mean())
    results: Results = {
        "binarization": likelihood.describe_binarization(learner.observe, test.image[:64]),
        "test_set": {"num_images": len(test.label), **metrics},
        "importance_weighted": summary,
        "active_units": active_units(learner, state, test, keys.encode, progress),
    }
    if options.annealing:
        x = np.asarray(observe(chosen[: options.num_annealed], keys.observe_annealed))
        results["annealed"] = annealed(learner, state, x, options, keys, progress)
    return results


def test_metrics(
    learner: Learner, state: PyTree, test: Batch, key: Key[Array, ""], progress: Progress
) -> dict[str, float]:
    """Compute the learner's own metrics: the ELBO and its parts, with one latent per image."""
    with stage(progress, f"ELBO of {len(test.label)} test images"):
        evaluate = jax.jit(partial(loop.evaluate, learner.evaluate, batch_size=METRICS_BATCH))
        metrics = jax.device_get(evaluate(state, test, key))
    return {name: float(value) for name, value in metrics.items() if name != "loss"}


def active_units(
    learner: Learner, state: PyTree, test: Batch, key: Key[Array, ""], progress: Progress
) -> Results:
    """Count the latent dimensions whose posterior mean varies with the image."""
    assert learner.encode is not None
    encode = jax.jit(learner.encode)
    starts = range(0, len(test.label), METRICS_BATCH)
    means = [
        np.asarray(
            encode(
                state, test.image[start : start + METRICS_BATCH], jax.random.fold_in(key, start)
            )[0]
        )
        for start in track(progress, "active units", starts)
    ]
    covariance = np.asarray(likelihood.active_units(jnp.concatenate(means)))
    return {
        "count": int((covariance > ACTIVE_COVARIANCE).sum()),
        "of": len(covariance),
        "threshold": ACTIVE_COVARIANCE,
        "covariance": np.sort(covariance)[::-1].tolist(),
    }


def importance_weighted(
    learner: Learner,
    state: PyTree,
    x: Images,
    options: LikelihoodOptions,
    key: Key[Array, ""],
    progress: Progress,
) -> Estimate:
    """Estimate log p(x) of each image, a batch of images at a time."""
    assert learner.log_weights is not None
    log_weights, k = learner.log_weights, options.num_importance_samples

    @jax.jit
    def estimate(state: PyTree, x: Float[Array, "b h w c"], key: Key[Array, ""]) -> Estimate:
        return likelihood.importance_weighted_estimate(
            partial(log_weights, state),
            x,
            key,
            num_samples=k,
            chunk_size=min(k, CHUNK_SIZE),
        )

    name = f"NLL of {len(x)} images, {k} samples of each"
    parts = [
        jax.device_get(estimate(state, x[rows], jax.random.fold_in(key, start)))
        for start, rows in track(progress, name, batches(len(x), WEIGHTS_BATCH))
    ]
    return jax.tree.map(lambda *values: np.concatenate(values)[: len(x)], *parts)


def annealed(
    learner: Learner,
    state: PyTree,
    x: Images,
    options: LikelihoodOptions,
    keys: Keys,
    progress: Progress,
) -> Results:
    """Bracket the importance-weighted estimate by annealed importance sampling.

    The likelihood of test images is bounded from below, that of images simulated from the model
    from both sides.
    """
    if learner.log_joint is None or learner.simulate is None or learner.encode is None:
        raise InputError("The model has no log_joint or no simulate, which --annealing needs.")
    image = jax.ShapeDtypeStruct((1, *x.shape[1:]), jnp.uint8)
    latent_dim = jax.eval_shape(learner.encode, state, image, keys.encode)[0].shape[1]
    z = np.asarray(jax.random.normal(keys.latents, (options.num_annealed, latent_dim)))
    simulated = np.asarray(jax.jit(learner.simulate)(state, z, keys.simulate))
    log_joint, schedule = learner.log_joint, annealing.sigmoid_schedule(options.num_temperatures)

    @jax.jit
    def bound(state: PyTree, x: Array, z: Array | None, key: Key[Array, ""]) -> Bounds:
        return annealing.bounds(
            partial(log_joint, state),
            x,
            z,
            key,
            latent_dim=latent_dim,
            num_chains=options.num_chains,
            schedule=schedule,
            num_leapfrog=NUM_LEAPFROG,
        )

    test_bounds, bounds = (
        _by_batch(partial(bound, state), images, latents, key, progress)
        for images, latents, key in (
            (x, None, keys.anneal),
            (simulated, z, keys.simulated_anneal),
        )
    )
    weighted = [
        importance_weighted(learner, state, images, options, key, progress).log_likelihood
        for images, key in ((x, keys.annealed_weights), (simulated, keys.simulated_weights))
    ]
    return {
        "num_chains": options.num_chains,
        "num_temperatures": options.num_temperatures,
        "num_leapfrog_steps": NUM_LEAPFROG,
        "schedule": "sigmoid",
        "test_images": {
            "num_images": len(x),
            "nll_nats": float(-test_bounds.lower.mean()),
            "importance_weighted_nll_nats": float(-weighted[0].mean()),
            "acceptance": float(test_bounds.acceptance.mean()),
        },
        "simulated_images": {
            "num_images": len(simulated),
            "upper_bound_of_nll_nats": float(-bounds.lower.mean()),
            "lower_bound_of_nll_nats": float(-bounds.upper.mean()),
            "gap_nats": float((bounds.upper - bounds.lower).mean()),
            "importance_weighted_nll_nats": float(-weighted[1].mean()),
            "acceptance": float(bounds.acceptance.mean()),
        },
    }


def _by_batch(
    bound: Callable[[Images, Latents | None, Key[Array, ""]], Bounds],
    x: Images,
    z: Latents | None,
    key: Key[Array, ""],
    progress: Progress,
) -> Bounds:
    """Bound log p(x) of each image, a batch of images at a time."""
    name = f"annealing for {len(x)} {'test' if z is None else 'simulated'} images"
    parts = []
    for start, rows in track(progress, name, batches(len(x), ANNEALED_BATCH)):
        latents = None if z is None else z[rows]
        parts.append(jax.device_get(bound(x[rows], latents, jax.random.fold_in(key, start))))
    return jax.tree.map(lambda *values: np.hstack(values)[: len(x)], *parts)


def batches(num: int, size: int) -> list[tuple[int, Int[np.ndarray, "b"]]]:
    """Split rows into batches of one size, each with its start; the last one wraps around."""
    size = min(size, num)
    return [(start, np.arange(start, start + size) % num) for start in range(0, num, size)]


def standard_error(values: Float[Array | np.ndarray, "n"]) -> float:
    """Compute the standard error of the mean; NaN for one value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else math.nan
