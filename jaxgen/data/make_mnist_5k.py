"""Make mnist_5k.npz again: `python -m jaxgen.data.make_mnist_5k mnist_5k.csv.gz`."""

import sys
from pathlib import Path

import numpy as np

NUM_CLASSES, NUM_TEST = 10, 1000
NPZ = Path(__file__).with_name("mnist_5k.npz")


def main(csv: str, npz: str | Path = NPZ) -> None:
    """Write `csv` (784 pixels and a label a row, sorted by label) as `npz`, split by class."""
    rows = np.loadtxt(csv, delimiter=",", dtype=np.float32).astype(np.uint8)
    # One digit of each class in turn, so that every run of ten and both splits are balanced.
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
