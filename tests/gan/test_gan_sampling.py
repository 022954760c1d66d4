"""What samples are made of: whose weights, and whose statistics."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit
from tiny_gan import DISCRIMINATOR, GENERATOR, KEY, batch, build, pixels, tiny_cgan

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
    labels = jnp.array([0, 1, 2, 3])
    images = sample(state, labels, KEY)
    others = sample(state, jnp.array([0, 1, 2, 0]), KEY)
    assert (images[0] != others[0]).any() == (statistics == "batch")
    assert (images[3] != others[3]).any()

    noise = jax.random.normal(KEY, (4, 3))
    expected, _ = GENERATOR.apply(
        state.generator.variables,
        noise,
        labels,
        train=statistics == "batch",
        mutable=["batch_stats"],
    )
    np.testing.assert_allclose(images, (expected + 1) / 2, atol=1e-6)  # in [0, 1]
    np.testing.assert_allclose(learner.generate(state, labels, noise), images, atol=1e-6)


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
