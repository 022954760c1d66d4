"""The format of MNIST's files (IDX), gzipped or not."""

import gzip
import io
import math
import re
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from jaxgen.errors import InputError

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
GZIP = b"\x1f\x8b"
TESTS = ("t10k", "test")  # which take the place of "train" in the names of files


def is_idx(path: Path) -> bool:
    """Tell from its first bytes whether a file has this format."""
    try:
        with _open(path) as file:
            start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in DTYPES and start[3] > 0


def read(path: Path) -> Shaped[np.ndarray, "..."]:
    """Read an array. Raises InputError if the file is damaged."""
    try:
        with _open(path) as file:
            _, _, code, ndim = file.read(4)
            dtype = np.dtype(DTYPES[code])
            shape = np.frombuffer(file.read(4 * ndim), ">u4", ndim).tolist()
            # As much as the header promises and one byte more, however long a gzipped file is.
            contents = file.read(dtype.itemsize * math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error, MemoryError, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read ({error}): replace it.") from error
    if len(contents) != dtype.itemsize * math.prod(shape):
        raise InputError(f"{path} is damaged: it is not as long as its header says. Replace it.")
    array = np.frombuffer(contents, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _open(path: Path) -> io.BufferedIOBase:
    """Open a file, gzipped or not, to read its contents."""
    with path.open("rb") as file:
        is_gzipped = file.read(2) == GZIP
    return gzip.open(path) if is_gzipped else path.open("rb")


def image_files(folder: Path) -> list[Path]:
    """List the images to train on in a folder of files with MNIST's names, or like them."""
    paths = [p for p in sorted(folder.iterdir()) if re.search(r"images.*idx[34]", p.name)]
    train = [path for path in paths if "train" in path.name]
    return [path for path in train or paths if is_idx(path)]


def labels_of(images: Path) -> Path | None:
    """Find the labels that belong to a file of images, by its name."""
    name = re.sub(r"idx\d", "idx1", images.name.replace("images", "labels"))
    return _existing(images, name) if name != images.name else None


def test_of(images: Path) -> Path | None:
    """Find the images to test that belong to those to train on, by their name."""
    names = (images.name.replace("train", test) for test in TESTS if "train" in images.name)
    return next((path for name in names if (path := _existing(images, name))), None)


def _existing(beside: Path, name: str) -> Path | None:
    """Find a file beside another one, gzipped or not."""
    plain = name.removesuffix(".gz")
    paths = [beside.with_name(option) for option in (name, plain, f"{plain}.gz")]
    return next((path for path in paths if path != beside and path.is_file()), None)
