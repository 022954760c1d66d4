"""A cache of the arrays of a prepared set, which are read in 0.1 s instead of 10 s.

It is stored beside the prepared set rather than in the user's cache directory, so that it moves
with the set, serves all users of the set, and is deleted with it.
"""

import io
import math
import os
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.tfds import Arrays, Records

ZIP_LENGTHS = 26  # offset in a local zip header: the lengths of name and extra field


def read(path: Path, mapped: bool = False) -> Arrays | None:
    """Read the cached arrays, or return None if they are missing, damaged or out of date.

    With `mapped`, the images stay in the file, unchecked, until they are used.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file)
            if arrays["source"].tolist() != _fingerprint(path.parent):
                return None
            label = arrays["label"]  # reading a whole array checks its CRC
            if mapped:
                shape = tuple(arrays["shape"].tolist())
                image = _map(file, arrays.zip.getinfo("image.npy"), shape)
            else:
                image = arrays["image"]
    except (OSError, EOFError, LookupError, RuntimeError, ValueError, zipfile.BadZipFile):
        return None
    is_valid = (image.dtype, image.ndim, label.dtype) == (np.uint8, 4, np.int32)
    return (image, label) if is_valid and label.shape == image.shape[:1] else None


def write(path: Path, records: Records) -> None:
    """Cache the examples beside their set, atomically. Warns if the file cannot be written."""
    # Each writer has its own temporary file. All write the same, and the last to finish wins.
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("wb") as file:
            _save(file, _fingerprint(path.parent), records)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error}): every start will read the whole set again.",
            stacklevel=3,
        )
    finally:
        unfinished.unlink(missing_ok=True)


def _save(file: BinaryIO, source: list[str], records: Records) -> None:
    """Write what `np.savez` would, with one chunk of the images in memory at a time."""
    labels = []
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("image.npy", "w", force_zip64=True) as member:
            member.write(_image_header(records.shape))
            for image, label in records.chunks:
                member.write(image.data)
                labels.append(label)
        rest = {"label": np.concatenate(labels), "shape": records.shape, "source": source}
        for name, array in rest.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)


def _map(
    file: BinaryIO, member: zipfile.ZipInfo, shape: tuple[int, ...]
) -> UInt8[np.memmap, "..."]:
    """Memory-map the images in the file. Raises ValueError if it has none of this shape."""
    file.seek(member.header_offset + ZIP_LENGTHS)
    lengths = np.frombuffer(file.read(4), "<u2")
    file.seek(int(lengths.sum()), os.SEEK_CUR)
    header = _image_header(shape)
    if file.read(len(header)) != header or member.file_size != len(header) + math.prod(shape):
        raise ValueError(f"{member.filename} has no images of shape {shape}.")
    return np.memmap(file, np.uint8, "r", file.tell(), shape)


def _image_header(shape: tuple[int, ...]) -> bytes:
    """Return the bytes that precede the pixels in an .npy file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def cache_path(folder: Path, split: str, image_size: int | None) -> Path:
    """Return the path of the cache of a split, padded to `image_size` unless that is None."""
    size = "" if image_size is None else f".{image_size}"  # not "-32": "train-32" may be a split
    return folder / f"jaxgen-{split}{size}.npz"


def _fingerprint(folder: Path) -> list[str]:
    """Fingerprint a prepared set by the names, sizes and modification times of its files."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("jaxgen-"))
    stats = [(path.name, path.stat()) for path in files]
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
