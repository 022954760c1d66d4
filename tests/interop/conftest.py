"""Arrays under PyTorch's names, and PyTorch where it is installed."""

import numpy as np
import pytest

SHAPES = {"encoder.0.0.weight": (6, 4), "encoder.0.0.bias": (6,), "fc_mu.weight": (2, 3, 3, 1)}


@pytest.fixture
def state_dict():
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype("f4") for name, shape in SHAPES.items()}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")
