"""The points of a latent space that pictures show."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.decomposition import PCA

from jaxgen.pictures import latents

RANDOM = np.random.default_rng(0)


def test_the_kl_of_each_unit_is_that_of_monte_carlo():
    mean, logvar = RANDOM.normal(size=(3, 2)), RANDOM.normal(size=(3, 2))
    std = np.exp(logvar / 2)
    z = mean + std * RANDOM.normal(size=(200_000, 3, 2))
    ratio = stats.norm.logpdf(z, mean, std) - stats.norm.logpdf(z)
    assert_allclose(latents.unit_kl_nats(mean, logvar), ratio.mean(axis=(0, 1)), atol=0.02)
    assert_allclose(latents.unit_kl_nats(np.zeros((2, 3)), np.zeros((2, 3))), 0)


def test_the_most_active_units_come_first():
    mean = RANDOM.normal(size=(500, 4)) * [0.1, 2, 0, 1] + [9, 0, 9, 0]
    assert latents.most_active(mean, 3).tolist() == [1, 3, 0]
    assert len(latents.most_active(mean, 10)) == 4


def test_a_traversal_changes_one_coordinate():
    z = latents.traversal(np.array([1.0, 2.0, 3.0]), 1, np.array([-1.0, 0.0]))
    assert_allclose(z, [[1, -1, 3], [1, 0, 3]])


@pytest.mark.parametrize("interpolate", [latents.straight, latents.spherical])
def test_an_interpolation_starts_and_ends_at_its_ends(interpolate):
    start, end = RANDOM.normal(size=(2, 5))
    z = interpolate(start, end, 4)
    assert z.shape == (4, 5)
    assert_allclose(z[[0, -1]], [start, end])


def test_a_spherical_interpolation_keeps_the_norm_and_moves_at_constant_angles():
    start, end = np.array([2.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0])
    z = latents.spherical(start, end, 4)
    angles = np.radians([0, 30, 60, 90])
    assert_allclose(z, 2 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1), atol=1e-12)


@pytest.mark.parametrize("end", [[0.0, 0.0], [3.0, 0.0], [-3.0, 0.0]])
def test_a_spherical_interpolation_without_a_great_circle_is_straight(end):
    start = np.array([1.0, 0.0])
    assert_allclose(
        latents.spherical(start, np.array(end), 5), latents.straight(start, np.array(end), 5)
    )


def test_the_plane_is_covered_at_quantiles_of_the_prior():
    z = latents.square(4)
    quantiles = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    assert_allclose(z[:4, 0], quantiles)
    assert_allclose(z[::4, 1], quantiles[::-1])  # the first row is the top


def test_points_move_apart():
    points = latents.apart(np.array([[0.0, 0], [0, 0], [0.3, 0], [9, 9]]))
    gaps = [np.linalg.norm(points[i] - points[j]) for i in range(4) for j in range(i)]
    assert min(gaps) > 0.9
    assert_allclose(points[3], [9, 9], atol=1e-4)  # others stay
    assert_allclose(points[:3].mean(axis=0), [0.1, 0], atol=1e-4)


def test_principal_components_are_those_of_scikit_learn():
    points = RANDOM.normal(size=(50, 6)) @ RANDOM.normal(size=(6, 6))
    found, expected = latents.principal_components(points), PCA(2).fit(points)
    assert_allclose(found.share, expected.explained_variance_ratio_)
    assert_allclose(np.abs(found.points), np.abs(expected.transform(points)))


def test_equal_points_have_no_variance():
    found = latents.principal_components(np.ones((3, 2)))
    assert_allclose(found.points, 0)
    assert_allclose(found.share, 0)
