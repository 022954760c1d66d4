"""Annealed importance sampling brackets a likelihood that is known exactly."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_vae import LATENT_DIM, exact_log_likelihood, linear_vae, simulated
from numpy.testing import assert_allclose

from jaxgen.evaluation import annealing

KEY = jax.random.key(5)
NUM_IMAGES = 40


@pytest.fixture(scope="module")
def model():
    learner, state = linear_vae()
    assert learner.log_joint is not None
    x, z = simulated(learner, state, NUM_IMAGES)
    return partial(learner.log_joint, state), x, z, exact_log_likelihood(state, x)


@pytest.fixture(scope="module")
def bounds(model):
    """The bounds for a number of temperatures, computed once."""

    @cache
    def compute(num_temperatures, num_chains=16, schedule=annealing.sigmoid_schedule):
        log_joint, x, z, _ = model
        return run(log_joint, x, z, num_temperatures, num_chains, schedule)

    return compute


def run(log_joint, x, z, num_temperatures, num_chains=16, schedule=annealing.sigmoid_schedule):
    compute = jax.jit(
        lambda x, z, key: annealing.bounds(
            log_joint,
            x,
            z,
            key,
            latent_dim=LATENT_DIM,
            num_chains=num_chains,
            schedule=schedule(num_temperatures),
            num_leapfrog=5,
        )
    )
    return compute(x, z, KEY)


def test_the_bounds_enclose_the_exact_likelihood_and_meet(model, bounds):
    gaps = []
    for num_temperatures in (3, 30, 300):
        result = bounds(num_temperatures)
        below, above = model[3] - result.lower, result.upper - model[3]
        for errors in (below, above):  # the bounds hold in expectation
            assert errors.mean() > -4 * errors.std() / np.sqrt(NUM_IMAGES)
        gaps.append(float((below + above).mean()))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]
    assert abs(gaps[2]) < 0.1
    assert_allclose(below, 0, atol=0.5)  # of each image
    assert_allclose(above, 0, atol=0.5)


def test_one_chain_gives_bounds_in_expectation(model, bounds):
    """With few temperatures both are loose, by the Kullback-Leibler divergence of the chain."""
    result = bounds(5, num_chains=1)
    assert result.lower.mean() < model[3].mean() - 0.05
    assert result.upper.mean() > model[3].mean() + 0.05


def test_the_weights_are_unbiased(model, bounds):
    """Averaged over many chains, the weights themselves estimate p(x), however few the steps."""
    result = bounds(4, num_chains=2000, schedule=annealing.linear_schedule)
    assert_allclose(result.lower, model[3], atol=0.3)
    assert abs((result.lower - model[3]).mean()) < 0.02


def test_step_sizes_are_tuned_to_the_acceptance_aimed_at(bounds):
    assert 0.55 < bounds(300).acceptance < 0.8


def test_without_a_posterior_sample_there_is_no_upper_bound(model, bounds):
    result = run(model[0], model[1], None, 30)
    assert np.isinf(result.upper).all()
    assert_allclose(result.lower, bounds(30).lower, rtol=1e-4)


def test_a_transition_leaves_its_distribution_invariant():
    """A Gaussian likelihood tempered by beta: the posterior N(mean, variance) is known."""
    beta, offset = 0.5, 2.0

    def log_likelihood(z):
        return -0.5 * ((z - offset) ** 2).sum(axis=1) / 0.1

    precision = 1 + beta / 0.1
    mean, std = (beta * offset / 0.1) / precision, precision**-0.5
    start_key, *step_keys = jax.random.split(KEY, 11)
    z = mean + std * jax.random.normal(start_key, (20_000, 2))
    point = annealing.evaluate(log_likelihood, z)
    move = jax.jit(partial(annealing.hamiltonian_step, log_likelihood, num_leapfrog=3))
    probability = jnp.zeros(())
    for key in step_keys:
        point, probability = move(point, jnp.float32(beta), jnp.full(20_000, 0.5), key)
    assert 0.5 < probability.mean() < 0.95  # so that rejection matters
    assert (point.z != z).any(axis=1).mean() > 0.95
    assert_allclose(point.z.mean(axis=0), mean, atol=4 * std / np.sqrt(20_000))
    assert_allclose(point.z.std(axis=0), std, rtol=4 / np.sqrt(40_000))
    assert_allclose(point.log_likelihood, log_likelihood(point.z), rtol=1e-5)
    assert_allclose(point.grad, -(point.z - offset) / 0.1, rtol=1e-5, atol=1e-5)


def test_a_trajectory_that_diverges_is_rejected():
    point = annealing.evaluate(lambda z: -(z**4).sum(axis=1), jnp.ones((3, 2)))
    step = jnp.array([1e-3, 1e10, jnp.inf])
    moved, probability = annealing.hamiltonian_step(
        lambda z: -(z**4).sum(axis=1), point, jnp.float32(1), step, KEY, 3
    )
    assert probability[0] > 0.9
    assert probability[1:].tolist() == [0, 0]
    np.testing.assert_array_equal(moved.z[1:], point.z[1:])
    assert np.isfinite(moved.log_likelihood).all()


@pytest.mark.parametrize("schedule", [annealing.linear_schedule, annealing.sigmoid_schedule])
def test_a_schedule_rises_from_0_to_1(schedule):
    values = np.asarray(schedule(50))
    assert len(values) == 51
    assert values[0] == 0
    assert_allclose(values[-1], 1, rtol=1e-6)
    assert (np.diff(values) > 0).all()
    assert_allclose(values + values[::-1], 1, atol=1e-6)  # symmetric


def test_the_sigmoid_schedule_is_dense_near_both_ends():
    gaps = np.diff(annealing.sigmoid_schedule(50))
    assert gaps[0] < gaps[25] / 5
    assert gaps[-1] < gaps[25] / 5
    sigmoid = 1 / (1 + np.exp(-np.linspace(-4, 4, 51)))
    expected = (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])
    assert_allclose(annealing.sigmoid_schedule(50), expected, atol=1e-6)
