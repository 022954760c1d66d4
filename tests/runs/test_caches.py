"""The cache directory: computed once, checked, and never in the way."""

from unittest.mock import Mock

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.runs.caches import load_or_compute


@pytest.fixture
def compute():
    """A function that counts its calls."""
    return Mock(side_effect=lambda: {"layer": {"kernel": jnp.arange(6.0).reshape(2, 3)}})


def assert_kernel(tree):
    np.testing.assert_array_equal(tree["layer"]["kernel"], np.arange(6).reshape(2, 3))


def test_a_result_is_computed_once(tmp_path, compute):
    for _ in range(3):
        assert_kernel(load_or_compute(tmp_path / "deep" / "tree", compute))
    assert compute.call_count == 1


@pytest.mark.parametrize("position", [0, 31, 32, 60, -1])
def test_a_flipped_bit_is_noticed_and_the_file_is_replaced(tmp_path, compute, position):
    path = tmp_path / "tree"
    load_or_compute(path, compute)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert_kernel(load_or_compute(path, compute))
    assert_kernel(load_or_compute(path, compute))
    assert compute.call_count == 2


@pytest.mark.parametrize("size", [0, 10, 32, 50])
def test_a_truncated_file_is_replaced(tmp_path, compute, size):
    path = tmp_path / "tree"
    load_or_compute(path, compute)
    path.write_bytes(path.read_bytes()[:size])
    assert_kernel(load_or_compute(path, compute))
    assert compute.call_count == 2


def test_a_cache_that_cannot_be_written_is_skipped(tmp_path, compute):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be written"):
        assert_kernel(load_or_compute(tmp_path / "file" / "tree", compute))
