"""The likelihood of 8-bit pixels against float64 SciPy and numerical integrals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from jaxgen.vae.likelihoods import bits_per_dim, clipped_logistic_mean, discretized_logistic_nll

LEVELS = np.arange(256) / 127.5 - 1
# Means inside, at the edges and far outside of [-1, 1]; scales from a fraction of a level.
PARAMETERS = [(m, s) for m in (-3.0, -1.0, -0.3, 0.0039, 1.0, 5.0) for s in (-7.0, -3.0, 0.0, 7.0)]


def all_levels(mean, log_scale):
    """-log P of each of the 256 levels, as examples of one pixel."""
    full = jnp.full((256, 1), 1.0)
    nll = jax.jit(discretized_logistic_nll)
    return np.asarray(nll(mean * full, log_scale * full, jnp.float32(LEVELS)[:, None]), float)


@pytest.mark.parametrize(("mean", "log_scale"), PARAMETERS)
def test_the_probabilities_of_the_256_levels_add_up_to_1(mean, log_scale):
    assert_allclose(np.exp(-all_levels(mean, log_scale)).sum(), 1, rtol=2e-5)


@pytest.mark.parametrize(("mean", "log_scale"), PARAMETERS)
def test_each_probability_is_that_of_its_bin_and_the_edges_take_the_tails(mean, log_scale):
    """By SciPy, from whichever side of the mean the difference of two tails is accurate."""
    logistic = scipy.stats.logistic(mean, np.exp(log_scale))
    bounds = np.concatenate([[-np.inf], LEVELS[:-1] + 1 / 255, [np.inf]])
    below, above = np.diff(logistic.cdf(bounds)), -np.diff(logistic.sf(bounds))
    expected = np.where(mean > LEVELS, below, above)
    seen = expected > 1e-280
    assert seen.any()
    assert_allclose(
        all_levels(mean, log_scale)[seen], -np.log(expected[seen]), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("mean", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("log_scale", [-7.0, 7.0])
def test_values_and_gradients_are_finite_far_from_the_data(mean, log_scale):
    def nll(mean, log_scale):
        full = jnp.ones((256, 1))
        return discretized_logistic_nll(
            mean * full, log_scale * full, jnp.float32(LEVELS)[:, None]
        ).sum()

    value, gradients = jax.value_and_grad(nll, (0, 1))(mean, log_scale)
    assert np.isfinite([value, *gradients]).all()
    assert value > 0


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.choice(LEVELS, (3, 7)))
        x = x.at[0, 0].set(-1.0).at[0, 1].set(1.0)
        mean, log_scale = jnp.asarray(rng.normal(size=(2, 3, 7)))

        def nll(mean, log_scale):
            return discretized_logistic_nll(jnp.asarray(mean), jnp.asarray(log_scale), x)

        check_grads(nll, (mean, log_scale), 1, ["rev"], rtol=1e-6)


@pytest.mark.parametrize(("mean", "log_scale"), PARAMETERS)
def test_the_expectation_is_the_integral_and_within_half_a_level_of_the_levels(mean, log_scale):
    args = jnp.full((1, 1), mean), jnp.full((1, 1), log_scale)
    actual = float(jax.jit(clipped_logistic_mean)(*args)[0, 0])
    logistic = scipy.stats.logistic(mean, np.exp(log_scale))
    points = [p for p in (mean,) if -1 < p < 1]
    integral = scipy.integrate.quad(logistic.sf, -1, 1, points=points or None, limit=200)[0]
    assert_allclose(actual, integral - 1, atol=2e-4)
    levels = np.exp(-all_levels(mean, log_scale)) @ LEVELS
    assert abs(actual - levels) < 1 / 255


def test_bits_per_dim_of_uniform_pixels_are_8():
    assert_allclose(bits_per_dim(jnp.float32(12 * np.log(256)), 12), 8, rtol=1e-6)
    # dequantized, their density in [-1, 1] is 1/2
    assert_allclose(bits_per_dim(jnp.float32(12 * np.log(2)), 12, level=2 / 256), 8, rtol=1e-6)


def test_bits_per_dim_of_dequantized_pixels_are_an_upper_bound():
    """On those of the probability of the level, the density's integral over its bin."""
    density: Any = scipy.stats.norm(0.1, 0.02)
    levels = 2 * np.arange(256) / 256 - 1
    u = (np.arange(1000) + 0.5) / 1000 * 2 / 256
    nats = -density.logpdf(levels[:, None] + u[None]).mean(1)
    exact = -np.log2(np.diff(density.cdf(np.append(levels, 1))).clip(1e-300))
    bound = np.asarray(bits_per_dim(jnp.float32(nats), 1, level=2 / 256), float)
    near = abs(levels - 0.1) < 0.1
    assert near.sum() > 20
    assert (bound[near] > exact[near]).all()
    assert_allclose(bound[near], exact[near], rtol=0.02)
