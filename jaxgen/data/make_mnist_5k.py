"""Rebuild mnist_5k.npz: `python -m jaxgen.data.make_mnist_5k mnist_5k.csv.gz`."""

import sys
from pathlib import Path

import numpy as np

NUM_CLASSES, NUM_TEST = 10, 1000
NPZ = Path(__file__).with_name("mnist_5k.npz")


def main(csv: str, npz: str | Path = NPZ) -> None:
    """Convert `csv` (784 pixels and a label per row, sorted by label) to the splits in `npz`."""
    rows = np.loadtxt(csv, delimiter=",", dtype=np.float32).astype(np.uint8)
    # Interleave the classes, so that every ten consecutive digits and both splits are balanced.
    rows = rows.reshape(NUM_CLASSES, -1, 785).swapaxes(0, 1).reshape(-1, 785)
    image, label = rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1]
    np.savez_compressed(
        npz,
        train_image=image[:-NUM_TEST],
        train_label=label[:-NUM_TEST],
        test_image=image[-NUM_TEST:],
        test_label=label[-NUM_TEST:],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
