"""A cache of the prepared arrays of a set, which are read in a moment, or mapped.

It is stored beside the set, in a folder `.jaxgen`, so that it moves with the set, serves all users
of the set, and is deleted with it; where that cannot be written, in the user's cache directory.
"""

import hashlib
import math
import os
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.examples import Arrays

VERSION = 1  # raised when the same files yield other arrays
FOLDER = ".jaxgen"
IMAGE = "image.raw"  # not .npy, whose header holds their number, which is known only at the end
START = b"jaxgen pixels".ljust(64)  # precedes the pixels
ZIP_LENGTHS = 26  # offset in a local zip header: the lengths of name and extra field
BLOCK = 2**24  # bytes read at a time
SECONDS_ABANDONED = 24 * 3600  # after which a temporary file is a crashed writer's


class Place(NamedTuple):
    """Where the arrays of a set are cached, and what they depend on."""

    paths: tuple[Path, ...]
    """In the order of preference; the name of the split is appended."""
    fingerprint: str

    def of(self, split: str) -> list[Path]:
        """Return the files of a split."""
        return [path.with_name(f"{path.name}.{split}.npz") for path in self.paths]


def user_cache_dir() -> Path:
    """Return the user's directory for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxgen"


def place(folder: Path, name: str, files: Iterable[tuple[str, os.stat_result]]) -> Place:
    """Return the place of a set in `folder`; another `name` stands for other options.

    The arrays are out of date once the name, size or modification time of a file has changed.
    """
    lines = [f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in files]
    text = "\0".join([str(VERSION), *sorted(lines)])
    fingerprint = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
    elsewhere = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    paths = folder / FOLDER / name, user_cache_dir() / "data" / elsewhere / name
    return Place(paths, fingerprint.hexdigest())


def read(place: Place, split: str, mapped: bool = False) -> Arrays | None:
    """Read the cached arrays, or return None if they are missing, damaged or out of date.

    With `mapped`, the images stay in the file, unchecked, until they are used.
    """
    for path in place.of(split):
        arrays = _read(path, place.fingerprint, mapped)
        if arrays is not None:
            return arrays
    return None


def write(place: Place, split: str, chunks: Iterator[Arrays]) -> None:
    """Cache the arrays of a split, atomically. Warns if no file can be written."""
    reasons = []
    for path in place.of(split):
        # Each writer has its own temporary file. All write the same, and the last to finish wins.
        unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = unfinished.open("wb")
        except OSError as error:
            reasons.append(f"{path.parent} ({error.strerror})")
            continue
        try:
            with file:
                _save(file, place.fingerprint, chunks)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            reasons.append(f"{path.parent} ({error.strerror})")
            break  # some of the chunks are used up
        finally:
            unfinished.unlink(missing_ok=True)
        _remove_abandoned(path.parent)
        return
    warnings.warn(
        f"The images cannot be cached in {' or '.join(reasons)}: every start will read all of "
        "them again.",
        stacklevel=3,
    )


def _save(file: BinaryIO, fingerprint: str, chunks: Iterator[Arrays]) -> None:
    """Write images and labels, with one chunk of the images in memory at a time."""
    labels, sizes = [np.empty(0, np.int32)], (0, 0, 0)
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open(IMAGE, "w", force_zip64=True) as member:
            member.write(START)
            for image, label in chunks:
                member.write(np.ascontiguousarray(image).data)
                labels.append(label)
                sizes = image.shape[1:]
        label = np.concatenate(labels)
        rest = {"label": label, "shape": (len(label), *sizes), "source": fingerprint}
        for name, array in rest.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)


def _read(path: Path, fingerprint: str, mapped: bool) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            _check_sizes(file, arrays.zip)
            if str(arrays["source"]) != fingerprint:
                return None
            label = arrays["label"]  # reading a whole array checks its CRC
            shape = tuple(arrays["shape"].tolist())
            if label.dtype != np.int32 or len(shape) != 4 or label.shape != shape[:1]:
                return None
            member = arrays.zip.getinfo(IMAGE)
            if member.file_size != len(START) + math.prod(shape):
                return None
            return (_map if mapped else _load)(arrays.zip, member, file, shape), label
    except Exception:  # of any class, since the file may have any content
        return None


def _load(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "n h w c"]:
    """Read the images into memory; their CRC is checked at the end."""
    image = np.empty(shape, np.uint8)
    flat, start = image.reshape(-1), 0
    with archive.open(member) as pixels:
        _check_start(pixels.read(len(START)))
        while block := pixels.read(BLOCK):
            flat[start : start + len(block)] = np.frombuffer(block, np.uint8)
            start += len(block)
    return image


def _check_sizes(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise ValueError if the members claim more than the file holds, or would be unpacked."""
    members = archive.infolist()
    is_packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if is_packed or sum(m.file_size for m in members) > os.fstat(file.fileno()).st_size:
        raise ValueError("This is not a cache that jaxgen has written.")


def _map(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "n h w c"]:
    """Memory-map the images in the file. Raises ValueError if they are not where they should be."""
    file.seek(member.header_offset + ZIP_LENGTHS)
    lengths = np.frombuffer(file.read(4), "<u2")
    file.seek(int(lengths.sum()), os.SEEK_CUR)
    _check_start(file.read(len(START)))
    return np.memmap(file, np.uint8, "r", file.tell(), shape)


def _check_start(found: bytes) -> None:
    if found != START:
        raise ValueError("There are no pixels here.")


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of writers that were killed long ago."""
    for path in folder.glob("*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > SECONDS_ABANDONED:
                path.unlink()
        except OSError:
            continue  # another process was faster
