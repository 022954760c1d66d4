"""What was read from a prepared set, kept beside it as plain arrays (0.1 s instead of 10).

Beside it, rather than in a folder of the user's: the arrays then go where the set goes, serve
everyone who reads it, and are deleted with it.
"""

import math
import os
import struct
import tokenize
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped

from jaxgen.data.records import Arrays, Records

DAMAGED = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
LENGTHS = struct.Struct("<26x2H")  # of name and extra field, at the end of a local zip header


def read(folder: Path, split: str, mapped: bool = False) -> Arrays | None:
    """The cached arrays, or None if there are none, or they are damaged or of an older set.

    A `mapped` image stays in the file, and its pixels unchecked, until they are used.
    """
    try:
        with _path(folder, split).open("rb") as file:
            arrays = np.load(file)
            if arrays["source"].tolist() != _source(folder):
                return None
            label = arrays["label"]  # reading an array whole checks its CRC
            image = _map(file, arrays.zip.getinfo("image.npy")) if mapped else arrays["image"]
    except DAMAGED:
        return None
    sound = (image.dtype, image.ndim, label.dtype) == (np.uint8, 4, np.int32)
    return (image, label) if sound and label.shape == image.shape[:1] else None


def write(folder: Path, split: str, records: Records) -> None:
    """Cache the examples: whole or not at all. Warns where it may not write."""
    path = _path(folder, split)
    # A name of its own for each writer; the last one to finish wins, and all wrote the same.
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("wb") as file:
            _save(file, _source(folder), records)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written, so every start reads the whole set anew: {error}",
            stacklevel=3,
        )
    finally:
        unfinished.unlink(missing_ok=True)


def _save(file: BinaryIO, source: list[str], records: Records) -> None:
    """What `np.savez` would write, but with one chunk of the images in memory at a time."""
    labels = []
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("image.npy", "w", force_zip64=True) as member:
            header = {"descr": "|u1", "fortran_order": False, "shape": records.shape}
            np.lib.format.write_array_header_1_0(member, header)
            for image, label in records.chunks:
                member.write(image.data)
                labels.append(label)
        for name, array in {"label": np.concatenate(labels), "source": np.array(source)}.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)


def _map(file: BinaryIO, member: zipfile.ZipInfo) -> Shaped[np.memmap, "..."]:
    """The array of an uncompressed member, where it lies in the file. Raises ValueError."""
    file.seek(member.header_offset)
    lengths = LENGTHS.unpack(file.read(LENGTHS.size))
    start = file.seek(sum(lengths), os.SEEK_CUR)
    np.lib.format.read_magic(file)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if file.tell() + math.prod(shape) * dtype.itemsize != start + member.file_size:
        raise ValueError(f"{shape} is not the shape of what follows")
    return np.memmap(file, dtype, "r", file.tell(), shape, order="F" if fortran else "C")


def _path(folder: Path, split: str) -> Path:
    return folder / f"jaxgen-{split}.npz"


def _source(folder: Path) -> list[str]:
    """What tells one prepared set from another: its files, their sizes and times."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("jaxgen-"))
    stats = [(path.name, path.stat()) for path in files]
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
