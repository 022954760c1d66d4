"""Precision, recall, density and coverage on constructed sets, and against the authors' package."""

import contextlib
import io
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from prdc import compute_prdc
from scipy.spatial.distance import cdist

from jaxgen.evaluation import neighbors
from jaxgen.evaluation.neighbors import Coverage

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("n", "m", "d", "k"), [(300, 250, 16, 5), (100, 400, 2, 3), (50, 50, 64, 1)]
)
def test_they_equal_those_of_the_package_prdc(n, m, d, k, monkeypatch):
    monkeypatch.setattr(neighbors, "BLOCK_SIZE", 1000)  # several blocks
    real, fake = RNG.normal(size=(n, d)), 1.2 * RNG.normal(size=(m, d)) + 0.1
    with contextlib.redirect_stdout(io.StringIO()):
        expected = compute_prdc(real, fake, k)
    actual = neighbors.coverage(real, fake, k)._asdict()
    for name, value in expected.items():
        assert_allclose(actual[name], value, rtol=1e-6, err_msg=name)


def modes(num_each, centers):
    return np.concatenate([c + 0.1 * RNG.normal(size=(num_each, 2)) for c in centers])


def test_a_set_covers_itself():
    real = RNG.normal(size=(200, 3))
    assert neighbors.coverage(real, real.copy(), 5)[:2] == (1.0, 1.0)
    assert neighbors.coverage(real, real.copy(), 5).coverage == 1.0


def test_disjoint_sets_do_not_cover_each_other():
    real = RNG.normal(size=(100, 3))
    assert neighbors.coverage(real, real + 100, 5) == Coverage(0.0, 0.0, 0.0, 0.0)


def test_missing_modes_cost_recall_and_coverage_but_not_precision():
    centers = 10 * np.arange(4)[:, None] * np.ones(2)
    result = neighbors.coverage(modes(100, centers), modes(200, centers[:2]), 5)
    assert result.precision > 0.9
    assert result.density > 0.8
    assert 0.4 < result.recall <= 0.5
    assert 0.4 < result.coverage <= 0.5


def test_modes_that_are_not_real_cost_precision_but_not_recall():
    centers = 10 * np.arange(4)[:, None] * np.ones(2)
    result = neighbors.coverage(modes(200, centers[:2]), modes(200, centers), 5)
    assert 0.4 < result.precision <= 0.5
    assert result.recall > 0.9
    assert result.coverage > 0.9


def test_an_outlier_inflates_precision_but_hardly_density():
    """Samples that only the ball of an outlier holds (Naeem et al. 2020, fig. 2)."""
    real = np.concatenate([RNG.normal(size=(200, 2)), [[20.0, 20.0]]])
    fake = 14 + RNG.normal(size=(200, 2))
    result = neighbors.coverage(real, fake, 5)
    assert result.precision == 1
    assert_allclose(result.density, 1 / 5)


def test_too_few_vectors_for_the_neighbors_are_refused():
    with pytest.raises(ValueError, match="5 vectors have no 5 nearest neighbors"):
        neighbors.coverage(RNG.normal(size=(5, 2)), RNG.normal(size=(9, 2)), 5)


def test_the_nearest_reference_is_that_of_scipy_s_distances(monkeypatch):
    monkeypatch.setattr(neighbors, "NUM_REFERENCES", 70)
    monkeypatch.setattr(neighbors, "BLOCK_SIZE", 1000)
    query, reference = (
        RNG.integers(0, 256, (40, 12), np.uint8),
        RNG.integers(0, 256, (200, 12), np.uint8),
    )
    expected = cdist(query, reference)
    actual = neighbors.nearest(query, reference)
    np.testing.assert_array_equal(actual.row, expected.argmin(axis=1))
    assert_allclose(actual.distance, expected.min(axis=1), rtol=1e-9)


def test_copies_of_training_images_are_noticed():
    train, held_out = RNG.normal(size=(2, 400, 20))
    copies = train[:200] + 0.01 * RNG.normal(size=(200, 20))
    result = neighbors.memorization(copies, train, held_out)
    assert result.share_nearer == 1
    assert result.median_ratio < 0.05


def test_new_images_of_the_distribution_are_as_near_to_both_sets():
    train, held_out, new = RNG.normal(size=(3, 400, 20))
    result = neighbors.memorization(new, train, held_out)
    assert abs(result.share_nearer - 0.5) < 4 * result.standard_error
    assert_allclose(result.standard_error, 0.025, rtol=0.05)
    assert_allclose(result.median_ratio, 1, atol=0.05)


def test_images_in_both_sets_count_half():
    images = RNG.normal(size=(50, 4))
    result = neighbors.memorization(images, images, images)
    assert result.share_nearer == 0.5
    assert result.median_ratio == 1


def test_the_memory_is_that_of_a_block(monkeypatch):
    monkeypatch.setattr(neighbors, "BLOCK_SIZE", 2**17)
    real, fake = RNG.normal(size=(2, 2000, 4))  # all distances would take 32 MB, a block 1 MB
    tracemalloc.start()
    neighbors.coverage(real, fake, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 8 * neighbors.BLOCK_SIZE
