"""What was read from a prepared set, kept beside it as plain arrays (0.1 s instead of 10).

Beside it, rather than in a folder of the user's: the arrays then go where the set goes, serve
everyone who reads it, and are deleted with it.
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

from jaxgen.data.records import Arrays, Records

ZIP_LENGTHS = 26  # where a local zip header has the lengths of the name and extra field behind it


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
            if mapped:
                shape = tuple(arrays["shape"].tolist())
                image = _map(file, arrays.zip.getinfo("image.npy"), shape)
            else:
                image = arrays["image"]
    except (OSError, EOFError, LookupError, RuntimeError, ValueError, zipfile.BadZipFile):
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
    """The images where they lie in the file. Raises ValueError if others, or none, lie there."""
    file.seek(member.header_offset + ZIP_LENGTHS)
    lengths = np.frombuffer(file.read(4), "<u2")
    file.seek(int(lengths.sum()), os.SEEK_CUR)
    header = _image_header(shape)
    if file.read(len(header)) != header or member.file_size != len(header) + math.prod(shape):
        raise ValueError(f"no images of shape {shape} in {member.filename}")
    return np.memmap(file, np.uint8, "r", file.tell(), shape)


def _image_header(shape: tuple[int, ...]) -> bytes:
    """What precedes the pixels in an .npy file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _path(folder: Path, split: str) -> Path:
    return folder / f"jaxgen-{split}.npz"


def _source(folder: Path) -> list[str]:
    """What tells one prepared set from another: its files, their sizes and times."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("jaxgen-"))
    stats = [(path.name, path.stat()) for path in files]
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
