"""The format of MNIST's files, decoded by hand."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


def encode(array: np.ndarray) -> bytes:
    """Magic number, shape, contents; gzipped."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


def decode(path: Path) -> np.ndarray:
    contents = gzip.decompress(path.read_bytes())
    ndim = contents[3]
    shape = np.frombuffer(contents, ">i4", ndim, offset=4)
    return np.frombuffer(contents, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def pairs(image: ArrayLike, label: ArrayLike) -> list[tuple[bytes, int]]:
    """The examples in an order of their own, for TFDS shuffles them."""
    image, label = np.asarray(image), np.asarray(label)
    return sorted((image[i].tobytes(), int(label[i])) for i in range(len(label)))
