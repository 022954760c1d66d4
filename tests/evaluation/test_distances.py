"""Distances between sets of features, compared with other implementations and closed forms."""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from sklearn.metrics.pairwise import polynomial_kernel

from jaxgen.evaluation import distances

RNG = np.random.default_rng(0)


def correlated(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 16), (2000, 2000, 64), (50, 40, 1)])
def test_the_frechet_distance_equals_the_formula_with_scipy_s_matrix_root(n, m, d):
    one, other = correlated(n, d, 1), correlated(m, d, 2)
    cov, other_cov = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (one, other))
    root = np.real(scipy.linalg.sqrtm(cov @ other_cov))
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(cov + other_cov - 2 * root)
    assert_allclose(distances.frechet_distance(one, other), expected, rtol=1e-6)


def test_the_frechet_distance_of_a_shift_is_its_squared_length():
    one, shift = correlated(100, 8, 1), RNG.normal(size=8)
    assert_allclose(distances.frechet_distance(one, one + shift), (shift**2).sum(), rtol=1e-6)
    assert_allclose(distances.frechet_distance(one, one), 0, atol=1e-9 * one.var())


def test_the_frechet_distance_of_a_scaling_is_that_of_the_standard_deviations():
    one = RNG.normal(size=(200, 5))
    expected = one.var(axis=0, ddof=1).sum() * (3 - 1) ** 2 + ((2 * one.mean(0)) ** 2).sum()
    assert_allclose(distances.frechet_distance(one, 3 * one), expected, rtol=1e-6)


def test_constant_and_fewer_features_than_dimensions_are_no_trouble():
    """Hidden units that never fire make the covariance singular."""
    one, other = correlated(20, 64, 1), correlated(20, 64, 2)
    one[:, :10] = other[:, :10] = 0
    assert np.isfinite(distances.frechet_distance(one, other))
    assert_allclose(
        distances.frechet_distance(one, other),
        distances.frechet_distance(one[:, 10:], other[:, 10:]),
        rtol=1e-5,
    )


def test_float32_features_are_compared_in_float64():
    one, other = correlated(500, 32, 1) + 1000, correlated(500, 32, 2) + 1000
    single = one.astype(np.float32), other.astype(np.float32)
    expected = distances.frechet_distance(*(x.astype(float) for x in single))
    assert_allclose(distances.frechet_distance(*single), expected, rtol=1e-12)


def test_the_kernel_distance_equals_the_u_statistic_of_scikit_learn_s_kernel():
    one, other = correlated(30, 8, 1), correlated(40, 8, 2)
    kernels = [polynomial_kernel(a, b, 3) for a, b in ((one, one), (other, other), (one, other))]
    within, within_other = (
        kernel[~np.eye(len(kernel), dtype=bool)].mean() for kernel in kernels[:2]
    )
    expected = within + within_other - 2 * kernels[2].mean()
    assert_allclose(distances.unbiased_mmd(one, other), expected, rtol=1e-6)


def test_the_kernel_distance_is_the_mean_over_disjoint_blocks():
    one, other = correlated(31, 8, 1), correlated(42, 8, 2)
    blocks = [
        distances.unbiased_mmd(one[10 * i : 10 * i + 10], other[14 * i : 14 * i + 14])
        for i in range(3)
    ]
    actual = distances.kernel_distance(one, other, num_blocks=3)
    assert_allclose(actual.mean, np.mean(blocks), rtol=1e-9)
    assert_allclose(actual.standard_error, np.std(blocks, ddof=1) / np.sqrt(3), rtol=1e-9)


def test_the_kernel_distance_is_unbiased_and_its_standard_error_right():
    """Of two sets from one distribution: zero on average, with the spread that it claims."""
    results = [distances.kernel_distance(*(RNG.normal(size=(2, 100, 4)))) for _ in range(300)]
    means = np.array([result.mean for result in results])
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(300)
    claimed = np.sqrt(np.mean([result.standard_error**2 for result in results]))
    assert_allclose(means.std(), claimed, rtol=0.2)


def test_blocks_of_one_are_refused():
    with pytest.raises(ValueError, match="two examples of each set"):
        distances.kernel_distance(correlated(10, 4, 1), correlated(30, 4, 2), num_blocks=10)
