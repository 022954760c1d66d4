"""The variance of `gaussian_fitted`: fitted in training, stored in the state, used ever after."""

from functools import cache
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxgen.training import checkpoint
from jaxgen.types import Batch
from jaxgen.vae import objectives
from jaxgen.vae.learner import VARIANCE_DECAY, Hypers, vae
from jaxgen.vae.models import MLPVAE

KEY = jax.random.key(0)
MODEL = MLPVAE((4, 4, 3), latent_dim=2, hidden_dims=(8,))
OBJECTIVE = objectives.gaussian_fitted("sigmoid")


def images(num, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (num, 4, 4, 3), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.zeros(num, jnp.int32))


@cache
def compiled():
    learner = vae(MODEL, OBJECTIVE)
    return learner, jax.jit(learner.init), jax.jit(learner.step), jax.jit(learner.evaluate)


def trained(num_steps):
    _, init, step, _ = compiled()
    state, variances = init(KEY, Hypers(1e-2)), []
    for t in range(num_steps):
        state, metrics = step(state, images(8, t), jax.random.fold_in(KEY, t))
        variances.append(float(metrics["variance"]))
    return state, variances


def test_the_estimate_is_the_likeliest_variance_of_a_batch():
    rng = np.random.default_rng(0)
    output, x = jnp.float32(rng.normal(size=(5, 4, 4, 3))), jnp.float32(rng.random((5, 4, 4, 3)))
    best = OBJECTIVE.estimate(output, x)
    mean = 1 / (1 + np.exp(-np.float64(output)))
    assert_allclose(best, np.mean((np.float64(x) - mean) ** 2), rtol=1e-6)

    def nll(variance):
        return OBJECTIVE.given(variance).reconstruction(output, x).sum()

    assert abs(jax.grad(nll)(best)) < 1e-2
    assert nll(best) < min(nll(0.9 * best), nll(1.1 * best))


def test_the_loss_of_a_step_is_that_of_the_optimal_variance():
    """D/2 (log(2 pi MSE) + 1) + KL, the analytic ELBO of Rybkin et al. 2021, and its gradient."""
    learner, init, step, _ = compiled()
    state, batch, key = init(KEY, Hypers()), images(8), jax.random.key(5)
    _, metrics = step(state, batch, key)
    expected = 48 / 2 * (np.log(2 * np.pi * metrics["variance"]) + 1)
    assert_allclose(metrics["reconstruction_nats"], expected, rtol=1e-5)

    observe_key, latent_key, _ = jax.random.split(key, 3)
    x = OBJECTIVE.given(1.0).observe(batch.image, observe_key)

    def analytic(params):
        out: Any = MODEL.apply({"params": params}, x, latent_key, train=True)
        mse = OBJECTIVE.estimate(out.output[0], x)
        kl = 0.5 * (jnp.exp(out.logvar) - out.logvar - 1 + out.mean**2).sum(-1).mean()
        return 48 / 2 * jnp.log(mse) + kl

    grads = jax.grad(analytic)(state.network.params)
    norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(grads)))
    assert_allclose(metrics["grad_norm"], norm, rtol=1e-4)
    assert learner.bits_per_dim is not None


def test_the_state_holds_a_running_average_that_starts_at_the_first_batch():
    state, variances = trained(4)
    average = variances[0]
    for variance in variances[1:]:
        average = VARIANCE_DECAY * average + (1 - VARIANCE_DECAY) * variance
    assert_allclose(state.variance, average, rtol=1e-5)


def test_an_evaluation_uses_the_variance_of_the_training():
    state, _ = trained(4)
    evaluate = compiled()[3]
    together = evaluate(state, images(6, seed=9), KEY)
    with_other = objectives.gaussian_fitted("sigmoid").given(state.variance)
    twin = vae(MODEL, with_other)
    chex.assert_trees_all_close(
        twin.evaluate(twin.init(KEY, Hypers())._replace(network=state.network), images(6, 9), KEY),
        together,
        rtol=1e-5,
    )
    bits = (together["negative_elbo_nats"] / 48 + np.log(256)) / np.log(2)
    assert_allclose(together["bits_per_dim"], bits, rtol=1e-5)
    # a test set of gray images leaves the variance alone
    gray = Batch(jnp.full((6, 4, 4, 3), 128, jnp.uint8), jnp.zeros(6, jnp.int32))
    far = state._replace(variance=10 * state.variance)
    assert (
        evaluate(far, gray, KEY)["reconstruction_nats"]
        > evaluate(state, gray, KEY)["reconstruction_nats"]
    ).all()


def test_it_is_checkpointed_and_goes_on_to_the_bit(tmp_path):
    state, _ = trained(3)
    with checkpoint.open_checkpointer() as checkpointer:
        checkpoint.save(checkpointer, tmp_path, 3, state)
        checkpoint.commit(checkpointer, tmp_path, 3, 0.0, "min")
    restored = checkpoint.restore(tmp_path, 3, jax.eval_shape(compiled()[1], KEY, Hypers()))
    step = compiled()[2]
    chex.assert_trees_all_equal(step(restored, images(8), KEY), step(state, images(8), KEY))


def test_members_of_a_population_have_their_own():
    learner, init, step, _ = compiled()
    keys = jax.random.split(KEY, 2)

    def run(key):
        return learner.step(learner.init(key, Hypers()), images(8), key)[0].variance

    together = jax.jit(jax.vmap(run))(keys)
    assert together[0] != together[1]
    alone = [step(init(key, Hypers()), images(8), key)[0].variance for key in keys]
    assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_pixels_are_dequantized_within_their_level(activation):
    observe = objectives.gaussian_fitted(activation).given(1.0).observe
    image = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    x = np.stack([observe(image, key) for key in jax.random.split(KEY, 50)])
    unit = (x + 1) / 2 if activation == "tanh" else x
    level = 256 * unit.reshape(50, 256) - np.arange(256)
    assert level.min() > -1e-3
    assert level.max() < 1 + 1e-3
    assert_allclose(level.mean(), 0.5, atol=0.01)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_expected_image_undoes_the_shift_of_dequantization(activation):
    objective = objectives.gaussian_fitted(activation).given(1.0)
    center = (np.array([0, 100, 255]) + 0.5) / 256
    raw = np.log(center / (1 - center)) if activation == "sigmoid" else np.arctanh(2 * center - 1)
    mean = objective.mean(jnp.float32(raw).reshape(1, 1, 3, 1))
    assert_allclose(255 * mean.ravel(), [0, 100, 255], atol=1e-2)
