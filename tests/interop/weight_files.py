"""Weights under PyTorch's names, and how they are compared and refused."""

from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.interop.files import load


def tensors(torch, state_dict):
    return {name: torch.tensor(array) for name, array in state_dict.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert isinstance(other[name], np.ndarray)
        assert other[name].dtype == array.dtype
        np.testing.assert_array_equal(other[name], array)


def assert_refused(path, match):
    with pytest.raises(InputError, match=match) as raised:
        load(path)
    assert "\n" not in str(raised.value)


def pytorchs_state_dict(network):
    """The names and shapes of the course's PyTorch class, in float32."""
    with np.load(Path(__file__).parent / "golden.npz") as golden:
        start = f"{network}/state/"
        return {
            name.removeprefix(start): golden[name].astype(np.float32)
            for name in golden
            if name.startswith(start) and not name.endswith("num_batches_tracked")
        }
