"""Numbers computed by the course's PyTorch code; see make_golden.py."""

from pathlib import Path

import jax
import numpy as np
import pytest
from our_side import (
    activate,
    assert_close,
    from_torch,
    model_for,
    our_gradients,
    our_outputs,
    to_numpy,
)

GOLDEN = Path(__file__).parent / "golden.npz"


def golden(network, part):
    """The arrays of one part, by name."""
    with np.load(GOLDEN) as arrays:
        start = f"{network}/{part}/"
        return {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}


@pytest.mark.parametrize("network", ["conv", "mlp", "generator", "discriminator"])
def test_outputs_loss_and_gradients_are_pytorchs(network):
    with jax.enable_x64(True):
        state_dict = golden(network, "state")
        model = model_for(state_dict)
        variables = from_torch(model, state_dict)
        inputs = tuple(golden(network, "input").values())
        outputs, _ = our_outputs(model, variables, inputs, False)
        for our, their in zip(
            activate(model, outputs), golden(network, "evaluation").values(), strict=True
        ):
            assert_close(our, their, 1e-9)

        loss, outputs, statistics, grads = our_gradients(model, variables, inputs)
        with np.load(GOLDEN) as arrays:
            assert_close(loss, arrays[f"{network}/loss"], 1e-9)
        for our, their in zip(
            activate(model, outputs), golden(network, "training").values(), strict=True
        ):
            assert_close(our, their, 1e-9)
        grads = to_numpy(model, {"params": grads, **statistics})
        for name, gradient in golden(network, "gradient").items():
            assert_close(grads[name], gradient, 1e-9, name)


@pytest.mark.parametrize("network", ["conv", "mlp", "generator", "discriminator"])
def test_the_round_trip_is_exact(network):
    with jax.enable_x64(True):
        state_dict = golden(network, "state")
        model = model_for(state_dict)
        back = to_numpy(model, from_torch(model, state_dict))
        assert back.keys() == {name for name in state_dict if not name.endswith("_tracked")}
        for name, array in back.items():
            assert array.dtype == state_dict[name].dtype
            np.testing.assert_array_equal(array, state_dict[name])
