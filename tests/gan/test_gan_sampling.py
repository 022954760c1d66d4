"""What samples are made of: whose weights, and whose statistics."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit
from tiny_gan import DISCRIMINATOR, GENERATOR, KEY, batch, build, pixels, tiny_cgan

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers


def test_ema():
    learner = build("ema")
    state = learner.init(KEY, Hypers(generator_learning_rate=0.1))
    average = jax.tree.map(np.float64, state.generator.variables)
    for t in range(3):
        state, _ = learner.step(state, batch(), jax.random.key(t))
        average = jax.tree.map(
            lambda a, x: 0.75 * a + 0.25 * np.float64(x), average, state.generator.variables
        )
    chex.assert_trees_all_close(jax.tree.map(np.float64, state.ema), average, atol=1e-6)
    labels = jnp.arange(4)
    of_average = learner.sample(state, labels, KEY)
    of_itself = learner.sample(state._replace(ema=state.generator.variables), labels, KEY)
    assert (of_average != of_itself).any()
    # the raw generator plays no part in samples
    raw = state.generator.replace(params=jax.tree.map(jnp.zeros_like, state.generator.params))
    np.testing.assert_array_equal(
        learner.sample(state._replace(generator=raw), labels, KEY), of_average
    )


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_sample_statistics(statistics):
    """By running averages an image depends on its own noise and label; by the batch, on all."""
    learner = tiny_cgan(objective=objectives.least_squares(), sample_statistics=statistics)
    sample = jax.jit(learner.sample)
    state = build("plain").init(KEY, Hypers())
    labels = jnp.arange(300) % 4
    images = sample(state, labels, KEY)
    others = sample(state, labels.at[-1].set(0), KEY)
    assert (images[0] != others[0]).any() == (statistics == "batch")
    assert (images[-1] != others[-1]).any()

    noise = jax.random.normal(KEY, (300, 3))
    expected, _ = GENERATOR.apply(
        state.generator.variables,
        noise,
        labels,
        train=statistics == "batch",
        mutable=["batch_stats"],
    )
    np.testing.assert_allclose(images, (expected + 1) / 2, atol=1e-6)  # in [0, 1]
    np.testing.assert_allclose(learner.generate(state, labels, noise), images, atol=1e-6)


def test_a_single_image_is_like_one_of_many():
    """Its own statistics would leave nothing of its label and noise."""
    learner = tiny_cgan(objective=objectives.least_squares())
    state = build("plain").init(KEY, Hypers())
    noise = jax.random.normal(KEY, (400, 3))
    labels = jnp.arange(400) % 4
    together = learner.generate(state, labels, noise)
    generate = jax.jit(learner.generate)
    alone = jnp.concatenate(
        [generate(state, labels[i : i + 1], noise[i : i + 1]) for i in range(8)]
    )
    assert np.corrcoef(np.ravel(alone), np.ravel(together[:8]))[0, 1] > 0.95
    assert alone.std(axis=0).mean() > 0.5 * together.std(axis=0).mean()
    one = learner.sample(state, jnp.array([1]), jax.random.key(1))
    assert one.shape == (1, *together.shape[1:])
    assert (one != learner.sample(state, jnp.array([2]), jax.random.key(1))).any()
    assert (one != learner.sample(state, jnp.array([1]), jax.random.key(2))).any()
    np.testing.assert_array_equal(one, learner.sample(state, jnp.array([1]), jax.random.key(1)))


@pytest.mark.parametrize("label", [-1, 4, 100])
def test_labels_out_of_range_are_named_outside_of_jit(label):
    learner = tiny_cgan(objective=objectives.least_squares())
    state = build("plain").init(KEY, Hypers())
    labels = jnp.array([0, label])
    for draw in (
        lambda: learner.sample(state, labels, KEY),
        lambda: learner.generate(state, labels, jnp.zeros((2, 3))),
    ):
        with pytest.raises(InputError, match=r"^Labels must be from 0 to 3, but are from"):
            draw()
    assert np.isnan(jax.jit(learner.sample)(state, jnp.array([0, 100]), KEY)[1]).all()


def test_evaluate():
    """Without the dropout, the smoothing and the generator of training."""
    learner = build("ema")
    state = learner.init(KEY, Hypers())
    state = state._replace(ema=jax.tree.map(lambda x: 2 * x, state.ema))
    result = learner.evaluate(state, batch(), KEY)
    assert set(result) == {"generator_loss", "discriminator_loss", "d_real", "d_fake"}
    apply = jax.jit(partial(DISCRIMINATOR.apply, train=False))
    real = apply(state.discriminator.variables, pixels(batch().image), batch().label)
    np.testing.assert_allclose(result["d_real"], expit(real), rtol=1e-5)
    d_fake = np.float64(result["d_fake"])
    np.testing.assert_allclose(result["generator_loss"], np.log(1 - d_fake), rtol=1e-5)
    np.testing.assert_allclose(
        result["discriminator_loss"], -(log_expit(real) + np.log(1 - d_fake)) / 2, rtol=1e-5
    )
    chex.assert_trees_all_equal(result, learner.evaluate(state, batch(), KEY))
    raw = state.generator.replace(params=jax.tree.map(jnp.zeros_like, state.generator.params))
    chex.assert_trees_all_equal(
        result, learner.evaluate(state._replace(generator=raw), batch(), KEY)
    )


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_a_mixture_of_one_class_is_that_class(statistics):
    learner = tiny_cgan(objective=objectives.least_squares(), sample_statistics=statistics)
    assert learner.generate_mixture is not None
    state = build("plain").init(KEY, Hypers())
    noise, labels = jax.random.normal(KEY, (6, 3)), jnp.arange(6) % 4
    assert learner.latent_dim == noise.shape[1]
    weights = jax.nn.one_hot(labels, 4)
    expected = learner.generate(state, labels, noise)
    np.testing.assert_allclose(learner.generate_mixture(state, weights, noise), expected, atol=1e-6)
    halfway = learner.generate_mixture(state, (weights + weights[::-1]) / 2, noise)
    assert np.abs(np.asarray(halfway - expected)).max() > 1e-3
