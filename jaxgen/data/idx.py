"""The format of MNIST's files (IDX), gzipped or not."""

import gzip
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
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == GZIP:
            with gzip.open(path) as file:
                start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in DTYPES and start[3] > 0


def read(path: Path) -> Shaped[np.ndarray, "..."]:
    """Read an array. Raises InputError if the file is damaged."""
    try:
        contents = path.read_bytes()
        if contents[:2] == GZIP:
            contents = gzip.decompress(contents)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): replace it.") from error
    dtype, ndim = np.dtype(DTYPES[contents[2]]), contents[3]
    start = 4 + 4 * ndim
    shape = tuple(np.frombuffer(contents, ">u4", ndim, offset=4).tolist())
    if len(contents) != start + dtype.itemsize * math.prod(shape):
        raise InputError(f"{path} is damaged: it is not as long as its header says. Replace it.")
    array = np.frombuffer(contents, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


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
