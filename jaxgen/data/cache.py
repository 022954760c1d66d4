"""What was read from a prepared set, kept beside it as plain arrays (0.1 s instead of 10).

Beside it, rather than in a folder of the user's: the arrays then go where the set goes, serve
everyone who reads it, and are deleted with it.
"""

import os
import uuid
import warnings
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8


def read(
    folder: Path, split: str
) -> tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]] | None:
    """The cached arrays, or None if there are none, or they are damaged or of an older set."""
    try:
        with _path(folder, split).open("rb") as file:
            arrays = np.load(file)
            if arrays["source"].tolist() != _source(folder):
                return None
            image, label = arrays["image"], arrays["label"]  # their CRCs are checked here
    except (OSError, EOFError, LookupError, RuntimeError, ValueError, zipfile.BadZipFile):
        return None
    sound = (image.dtype, image.ndim, label.dtype) == (np.uint8, 4, np.int32)
    return (image, label) if sound and label.shape == image.shape[:1] else None


def write(
    folder: Path,
    split: str,
    arrays: tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]],
) -> None:
    """Cache the arrays: whole or not at all. Warns where it may not write."""
    image, label = arrays
    path = _path(folder, split)
    # A name of its own for each writer; the last one to finish wins, and all wrote the same.
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, image=image, label=label, source=np.array(_source(folder)))
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


def _path(folder: Path, split: str) -> Path:
    return folder / f"jaxgen-{split}.npz"


def _source(folder: Path) -> list[str]:
    """What tells one prepared set from another: its files, their sizes and times."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("jaxgen-"))
    stats = [(path.name, path.stat()) for path in files]
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
