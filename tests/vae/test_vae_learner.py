"""The VAE's learner: pure, vmappable, and right about its bounds."""

import dataclasses
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from numpy.testing import assert_allclose

from jaxgen.errors import InputError
from jaxgen.types import Batch
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE, reparameterize

MODELS = {
    "mlp": MLPVAE((8, 8, 1), latent_dim=3, hidden_dims=(16, 16)),
    "conv": ConvVAE((8, 8, 1), latent_dim=3, hidden_dims=(4, 8)),
}
OBJECTIVES = {
    "bernoulli": objectives.bernoulli(),
    "gaussian": objectives.gaussian("tanh", 0.1),
    "course": objectives.course("tanh", 0.00025),
}
PAIRS = [
    ("mlp", "bernoulli"),
    ("mlp", "gaussian"),
    ("mlp", "course"),
    ("conv", "bernoulli"),
    pytest.param("conv", "gaussian", marks=pytest.mark.slow),
    pytest.param("conv", "course", marks=pytest.mark.slow),
]


@cache
def compiled(model, objective="bernoulli"):
    """A learner whose functions are compiled once for all tests."""
    learner = vae(MODELS[model], OBJECTIVES[objective])
    assert learner.reconstruct is not None
    return dataclasses.replace(
        learner,
        **{
            name: jax.jit(getattr(learner, name)) for name in ("init", "step", "evaluate", "sample")
        },
        reconstruct=jax.jit(learner.reconstruct),
    )


def init(learner, hypers=Hypers()):  # noqa: B008
    return jax.jit(learner.init)(jax.random.key(0), hypers)


def make_batch(size=6):
    image = 255 * np.random.default_rng(0).integers(0, 2, (size, 8, 8, 1))
    return Batch(jnp.asarray(image, jnp.uint8), jnp.zeros(size, jnp.int32))


@pytest.mark.parametrize(("model", "objective"), PAIRS)
def test_training_lowers_the_loss(model, objective):
    learner, batch = compiled(model, objective), make_batch()
    state = init(learner, Hypers(learning_rate=3e-3))
    losses = []
    for key in jax.random.split(jax.random.key(1), 100):
        state, metrics = learner.step(state, batch, key)
        losses.append(metrics["loss"])
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])
    assert state.step == 100


@pytest.mark.parametrize("model", MODELS)
def test_a_step_is_pure_and_keeps_the_structure_of_the_state(model):
    learner = compiled(model)
    state = init(learner)
    before = jax.tree.map(jnp.copy, state)
    first, _ = learner.step(state, make_batch(), jax.random.key(1))
    second, _ = learner.step(state, make_batch(), jax.random.key(1))
    chex.assert_trees_all_equal(state, before)
    chex.assert_trees_all_equal(first, second)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, state)


def test_one_trace_serves_every_step_and_every_hyperparameter():
    learner = vae(MODELS["mlp"], objectives.bernoulli())
    step = jax.jit(chex.assert_max_traces(learner.step, n=1))
    for rate in (1e-3, 1e-2):
        state = init(learner, Hypers(learning_rate=rate, kl_weight=rate))
        for key in jax.random.split(jax.random.key(1), 3):
            state, _ = step(state, make_batch(), key)


def test_a_vmapped_population_is_its_members_one_by_one():
    learner = vae(MODELS["conv"], objectives.bernoulli())
    keys = jax.random.split(jax.random.key(0), 3)
    rates = jnp.float32([1e-3, 1e-3, 1e-2])
    hypers = Hypers(rates, jnp.float32([1.0, 0.5, 4.0]))
    batch = make_batch()

    def run(key, hypers):
        state, metrics = learner.step(learner.init(key, hypers), batch, key)
        return state.network.params, metrics

    together, single = jax.jit(jax.vmap(run))(keys, hypers), jax.jit(run)
    for i in range(3):
        alone = single(keys[i], jax.tree.map(lambda values, i=i: values[i], hypers))
        member = jax.tree.map(lambda values, i=i: values[i], together)
        # Adam's first step is the sign of a gradient: where that is nearly 0, 1e-7 may turn it
        chex.assert_trees_all_close(member[1], alone[1], rtol=1e-5)
        chex.assert_trees_all_close(member[0], alone[0], rtol=1e-3, atol=2 * rates[i])


def test_hyperparameters_act_as_they_say():
    learner = vae(MODELS["mlp"], objectives.bernoulli(), optimizer=optax.sgd)
    key, batch = jax.random.key(0), make_batch()
    start, step = init(learner), jax.jit(learner.step)

    def change(hypers):
        state, metrics = step(init(learner, hypers), batch, key)
        difference = jax.tree.map(jnp.subtract, state.network.params, start.network.params)
        return difference, metrics

    slow, metrics = change(Hypers(1e-4))
    fast, _ = change(Hypers(2e-4))
    chex.assert_trees_all_close(fast, jax.tree.map(lambda d: 2 * d, slow), rtol=1e-2, atol=1e-7)
    _, weighted = change(Hypers(kl_weight=4.0))
    assert_allclose(
        weighted["loss"], metrics["reconstruction_nats"] + 4 * metrics["kl_nats"], rtol=1e-5
    )
    assert_allclose(weighted["negative_elbo_nats"], metrics["negative_elbo_nats"], rtol=1e-5)


def with_plateau(rate):
    return optax.chain(optax.sgd(rate), optax.contrib.reduce_on_plateau())


@pytest.mark.parametrize("optimizer", [optax.lbfgs, with_plateau])
def test_an_optimizer_that_needs_the_loss_is_refused(optimizer):
    learner = vae(MODELS["mlp"], objectives.bernoulli(), optimizer=optimizer)
    with pytest.raises(InputError, match=r"gradients alone .*'value'.* optax\.adam"):
        jax.eval_shape(learner.step, init(learner), make_batch(), jax.random.key(0))


def test_the_kl_weight_warms_up_along_its_schedule():
    learner = vae(MODELS["mlp"], objectives.bernoulli(), kl_schedule=optax.linear_schedule(0, 1, 4))
    state, step = init(learner, Hypers(kl_weight=2.0)), jax.jit(learner.step)
    weights = []
    for key in jax.random.split(jax.random.key(1), 6):
        state, metrics = step(state, make_batch(), key)
        weights.append(float(metrics["kl_weight"]))
    assert weights == [0, 0.5, 1, 1.5, 2, 2]


def trained(learner, num_steps=150):
    state, batch = init(learner, Hypers(3e-3)), make_batch()
    for key in jax.random.split(jax.random.key(1), num_steps):
        state, _ = learner.step(state, batch, key)
    return state


def test_the_importance_weighted_bound_rises_with_its_samples_from_the_elbo():
    state = trained(compiled("mlp"))
    keys = jax.random.split(jax.random.key(2), 400)

    def bounds(num_samples):
        learner = vae(MODELS["mlp"], objectives.bernoulli(), bound="iwae", num_samples=num_samples)
        evaluate = jax.jit(jax.vmap(lambda key: learner.evaluate(state, make_batch(), key)))
        metrics = evaluate(keys)
        return [-metrics[f"negative_{name}_nats"].mean() for name in ("elbo", "iwae")]

    elbo, one = bounds(1)
    five, fifty = (bounds(k)[1] for k in (5, 50))
    assert_allclose(one, elbo, atol=0.2)  # equal in expectation
    assert one < five < fifty


@pytest.mark.parametrize(("model", "objective"), PAIRS)
def test_evaluation_is_per_example_and_ends_in_nats(model, objective):
    learner = compiled(model, objective)
    state = init(learner, Hypers(kl_weight=3.0))
    metrics = learner.evaluate(state, make_batch(4), jax.random.key(1))
    assert {value.shape for value in metrics.values()} == {(4,)}
    assert_allclose(
        metrics["negative_elbo_nats"], metrics["reconstruction_nats"] + metrics["kl_nats"]
    )


@pytest.mark.parametrize(("model", "objective"), PAIRS)
def test_samples_and_reconstructions_are_images_in_the_unit_range(model, objective):
    learner = compiled(model, objective)
    state = init(learner)
    samples = learner.sample(state, jnp.zeros(5, jnp.int32), jax.random.key(1))
    assert learner.reconstruct is not None
    images = learner.reconstruct(state, make_batch(5).image, jax.random.key(1))
    assert samples.shape == images.shape == (5, 8, 8, 1)
    for pixels in (samples, images):
        assert pixels.min() >= 0
        assert pixels.max() <= 1
        assert pixels.std() > 0


def test_reconstructions_resemble_their_originals_after_training():
    learner, batch = vae(MODELS["mlp"], objectives.gaussian("sigmoid", 0.01)), make_batch()
    state = trained(dataclasses.replace(learner, step=jax.jit(learner.step)), 600)
    assert learner.reconstruct is not None
    images = learner.reconstruct(state, batch.image, jax.random.key(2))
    errors = jnp.mean((images[:, None] - batch.image[None] / 255) ** 2, axis=(2, 3, 4))
    assert (errors.argmin(1) == jnp.arange(len(images))).all()


def test_a_nan_in_the_state_shows_in_the_metrics():
    learner = compiled("mlp")
    state = init(learner, Hypers(learning_rate=jnp.nan))
    state, _ = learner.step(state, make_batch(), jax.random.key(1))
    _, metrics = learner.step(state, make_batch(), jax.random.key(2))
    assert jnp.isnan(metrics["loss"])


@pytest.mark.parametrize("objective", ["bernoulli", "gaussian"])
def test_log_weights_are_the_joint_over_the_posterior_of_their_samples(objective):
    learner, key = compiled("mlp", objective), jax.random.key(3)
    assert learner.observe
    assert learner.encode
    assert learner.log_weights
    assert learner.log_joint
    state, image = init(learner), make_batch().image
    x = learner.observe(image, jax.random.key(2))
    actual = learner.log_weights(state, x, key, 5)
    mean, logvar = learner.encode(state, image, jax.random.key(2))  # of the same x
    for z, log_weight in zip(reparameterize(key, mean, logvar, 5), actual, strict=True):
        log_posterior = scipy.stats.norm.logpdf(z, mean, np.exp(logvar / 2)).sum(axis=1)
        assert_allclose(learner.log_joint(state, x, z) - log_posterior, log_weight, rtol=1e-4)


def test_the_mean_of_log_weights_is_the_elbo():
    learner, batch = compiled("mlp"), make_batch()  # binary images, which stay as they are
    assert learner.observe
    assert learner.log_weights
    state, key = init(learner), jax.random.key(1)
    x = learner.observe(batch.image, key)
    np.testing.assert_array_equal(x, batch.image / 255)
    log_weights = learner.log_weights(state, x, key, 4000)
    keys = jax.random.split(key, 400)
    elbos = jax.vmap(lambda key: learner.evaluate(state, batch, key)["negative_elbo_nats"])(keys)
    errors = np.abs(log_weights.mean(axis=0) + elbos.mean(axis=0))
    assert (errors < 4 * (elbos.std(axis=0) / 20 + log_weights.std(axis=0) / 63)).all()


def test_simulated_images_have_the_expected_image_as_mean():
    learner = compiled("mlp")
    assert learner.simulate
    state, z = init(learner), jax.random.normal(jax.random.key(1), (2, 3))
    repeated = jnp.repeat(z, 4000, axis=0)
    x = np.asarray(learner.simulate(state, repeated, jax.random.key(2))).reshape(2, 4000, 8, 8, 1)
    assert set(np.unique(x)) == {0, 1}
    expected = learner.generate(state, jnp.zeros(2, jnp.int32), z)
    assert_allclose(x.mean(axis=1), expected, atol=5 * 0.5 / np.sqrt(4000))
