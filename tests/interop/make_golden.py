"""Write what the course's PyTorch code computes, for tests where PyTorch is not installed.

    python tests/interop/make_golden.py

Needs PyTorch. The file holds float64 arrays under `network/part/name`.
"""

import copy
from pathlib import Path

import jax
import numpy as np
import torch
from our_side import inputs_for
from their_side import pair, their_loss, their_outputs

from experiments.benchmark import course

GOLDEN = Path(__file__).parent / "golden.npz"
NETWORKS = {
    "conv": lambda: course.VanillaVAE((3, 8, 8), 3, (4, 5)),
    "mlp": lambda: course.MLPVAE((3, 4, 4), 3, (7, 6)),
    "generator": lambda: course.Generator((3, 4, 4), 3, 10, (6, 7, 8)),
    "discriminator": lambda: course.Discriminator((3, 4, 4), 10, (8, 7, 6), dropout_rate=0.0),
}


def compute(make_network):
    network, model, _ = pair(make_network, torch.float64)
    inputs = inputs_for(model, np.float64)
    arrays = {f"state/{name}": value.numpy() for name, value in network.state_dict().items()}
    arrays = copy.deepcopy(arrays)
    arrays |= {f"input/{i}": array for i, array in enumerate(inputs)}
    for mode, outputs in (
        ("evaluation", their_outputs(copy.deepcopy(network).eval(), inputs)),
        ("training", their_outputs(copy.deepcopy(network).train(), inputs)),
    ):
        arrays |= {f"{mode}/{i}": array for i, array in enumerate(outputs)}
    loss = their_loss(network.train(), inputs)
    loss.backward()
    arrays["loss"] = loss.detach().numpy()
    arrays |= {f"gradient/{name}": p.grad.numpy() for name, p in network.named_parameters()}
    return arrays


if __name__ == "__main__":
    with jax.enable_x64(True):
        golden = {
            f"{network}/{name}": array
            for network, make in NETWORKS.items()
            for name, array in compute(make).items()
        }
    np.savez_compressed(GOLDEN, **golden)
