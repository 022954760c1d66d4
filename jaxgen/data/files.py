"""Read image files, several at a time."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import UnidentifiedImageError

from jaxgen.data.decode import is_grey
from jaxgen.data.examples import CHUNK, Arrays, Examples, Indices, Report, stack
from jaxgen.data.folder import Files
from jaxgen.data.resize import Preparation, prepare_file
from jaxgen.data.split import digest
from jaxgen.errors import InputError

T = TypeVar("T")


def examples(files: Files, preparation: Preparation, skip_broken: bool) -> Examples:
    """Return the examples of a split, of `preparation.channels`, which must not be None.

    Reading raises InputError for a file that is broken, unless `skip_broken` leaves it out.
    """
    decode = partial(_decode, preparation=preparation, skip_broken=skip_broken)

    def read(indices: Indices) -> Arrays:
        images = _in_parallel(decode, [files.paths[i] for i in indices])
        is_sound = np.array([image is not None for image in images])
        return stack([x for x in images if x is not None]), files.label[indices[is_sound]]

    def identify(indices: Indices) -> tuple[list[bytes], Int32[np.ndarray, "m"]]:
        return _in_parallel(_identify, [files.paths[i] for i in indices]), files.label[indices]

    return Examples(len(files.paths), read, identify)


def num_channels(paths: Sequence[str], report: Report) -> Literal[1, 3]:
    """Return 1 if all images are grey, otherwise 3. Broken files do not count."""
    for start in range(0, len(paths), CHUNK):
        if not all(_in_parallel(_is_grey, paths[start : start + CHUNK])):
            return 3
        report("looking for colors", min(start + CHUNK, len(paths)), len(paths))
    return 1


def _decode(
    path: str, preparation: Preparation, skip_broken: bool
) -> UInt8[np.ndarray, "h w c"] | None:
    try:
        return prepare_file(_contents(path), preparation)
    except Exception as error:  # Pillow raises almost any of them for a broken file
        if skip_broken:
            return None
        raise InputError(
            f"{path} cannot be read ({_reason(error)}): repair it, remove it, or leave out all "
            "broken files with --skip-broken."
        ) from error


def _is_grey(path: str) -> bool:
    try:
        return is_grey(_contents(path))
    except Exception:  # decoding tells more about it
        return True


def _identify(path: str) -> bytes:
    try:
        return digest(_contents(path))
    except OSError:
        return digest(b"")


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _in_parallel(function: Callable[[str], T], paths: Sequence[str]) -> list[T]:
    """Map a function over files in threads, since Pillow decodes without Python's lock."""
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, about images that it does decode
        return list(pool.map(function, paths))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
