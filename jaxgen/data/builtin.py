"""The built-in data set: 5,000 digits of MNIST's training set (see mnist_5k.md)."""

from importlib import resources

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen.errors import InputError

NAME = "mnist_5k"
SPLITS = ("train", "test")
CLASS_NAMES = tuple("0123456789")


def read(split: str) -> tuple[UInt8[np.ndarray, "n 28 28 1"], Int32[np.ndarray, "n"]]:
    """Read the split `train` (400 images per class) or `test` (100 images per class).

    Raises InputError if there is no such split.
    """
    if split not in SPLITS:
        raise InputError(f"{NAME} has no split {split!r}, only {' and '.join(SPLITS)}.")
    with (resources.files("jaxgen.data") / "mnist_5k.npz").open("rb") as file:
        arrays = np.load(file)
        return arrays[f"{split}_image"], arrays[f"{split}_label"].astype(np.int32)
