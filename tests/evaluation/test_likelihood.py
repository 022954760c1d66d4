"""The importance-weighted bound rises to the exact likelihood, in memory that k does not touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from linear_vae import exact_log_likelihood, linear_vae, simulated
from numpy.testing import assert_allclose

from jaxgen.evaluation import likelihood
from jaxgen.vae import bernoulli, gaussian

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def model():
    learner, state = linear_vae()
    x, _ = simulated(learner, state, 100)

    def log_weights(x, key, k):
        assert learner.log_weights is not None
        return learner.log_weights(state, x, key, k)

    return log_weights, x, exact_log_likelihood(state, x)


def estimate(log_weights, x, k, chunk_size=50, key=KEY):
    function = jax.jit(
        lambda x, key: likelihood.importance_weighted_estimate(
            log_weights, x, key, num_samples=k, chunk_size=chunk_size
        )
    )
    return function(x, key)


def test_the_bound_rises_to_the_exact_likelihood(model):
    log_weights, x, exact = model
    gaps = [exact - estimate(log_weights, x, k).log_likelihood for k in (1, 5, 50, 5000)]
    means = [gap.mean() for gap in gaps]
    assert means[0] > 2 * means[1] > 8 * means[2] > 0
    assert_allclose(gaps[3], 0, atol=0.08)  # of each image
    assert abs(means[3]) < 0.005


@pytest.mark.parametrize(("k", "chunk_size"), [(20, 7), (20, 20), (3, 50), (1, 1)])
def test_the_stream_equals_the_formulas_on_all_weights(model, k, chunk_size):
    log_weights, x, _ = model
    num_chunks = -(-k // chunk_size)
    chunks = [log_weights(x, jax.random.fold_in(KEY, i), chunk_size) for i in range(num_chunks)]
    weights = np.concatenate(chunks).astype(float)[:k]
    actual = estimate(log_weights, x, k, chunk_size)
    assert_allclose(
        actual.log_likelihood, scipy.special.logsumexp(weights, axis=0) - np.log(k), rtol=1e-5
    )
    assert_allclose(actual.elbo, weights.mean(axis=0), rtol=1e-5)
    shares = scipy.special.softmax(weights, axis=0)
    assert_allclose(actual.effective_samples, 1 / (shares**2).sum(axis=0), rtol=1e-4)


def test_extreme_weights_stay_finite():
    def log_weights(x, key, k):
        return jnp.tile(jnp.linspace(-1e5, -1e5 - 300, k)[:, None], x.shape[0])

    actual = estimate(log_weights, jnp.zeros((2, 1, 1, 1)), 1000)
    assert_allclose(actual.log_likelihood, -1e5, rtol=1e-3)
    assert np.isfinite(actual.effective_samples).all()


def test_the_memory_does_not_grow_with_the_number_of_samples(model):
    log_weights, x, _ = model

    def temporary_bytes(k):
        function = jax.jit(
            lambda x, key: likelihood.importance_weighted_estimate(
                log_weights, x, key, num_samples=k, chunk_size=50
            )
        )
        analysis = function.lower(x, KEY).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary_bytes(5000) <= 1.01 * temporary_bytes(100)


def test_an_estimate_is_a_function_of_its_key(model):
    log_weights, x, _ = model
    first, second, other = (
        estimate(log_weights, x, 100, key=k) for k in (KEY, KEY, jax.random.key(4))
    )
    np.testing.assert_array_equal(first.log_likelihood, second.log_likelihood)
    assert (first.log_likelihood != other.log_likelihood).all()


def test_units_whose_posterior_mean_varies_are_active():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(500, 4)) * [1.0, 0.11, 0.09, 0.0] + [0.0, 5.0, 5.0, 5.0]
    covariance = likelihood.active_units(jnp.float32(mean))
    assert_allclose(covariance, mean.var(axis=0), rtol=1e-4, atol=1e-9)
    assert (covariance > likelihood.ACTIVE_COVARIANCE).tolist() == [True, True, False, False]


def test_the_binarization_is_found_by_looking():
    gray = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    binary = (gray > 127).astype(np.uint8) * 255

    def dequantize(image, key):
        return (image + jax.random.uniform(key, image.shape)) / 256

    describe = likelihood.describe_binarization
    assert describe(bernoulli().observe, gray) == "dynamic"
    assert describe(bernoulli().observe, binary) == "fixed"
    assert describe(gaussian("sigmoid", 0.1).observe, gray) == "none"
    assert describe(dequantize, gray) == "dequantized"
