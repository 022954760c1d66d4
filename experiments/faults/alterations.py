"""Ways to alter a file, as disks, crashes and careless hands do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np

Way = Literal["truncated", "emptied", "deleted", "flipped", "replaced"]
WAYS: tuple[Way, ...] = get_args(Way)

# What a file may be replaced by; None is a directory. No file of a run begins like these.
STRANGERS: tuple[bytes | None, ...] = (
    None,
    b"null",
    b"5\n",
    b'"text"',
    b"[]",
    b"{}\n",
    b'[{"step": "x"}]',
    b'{"step": {}, "epoch": [], "format": 2, "files": 7}\n',
    b"[" * 100_000,
    b"\x00" * 1000,
    b"\x89PNG\r\n\x1a\n",
    b"PK\x03\x04",
    b"\xff\xfe\xfd",
)


@contextmanager
def altered(path: Path, way: Way, rng: np.random.Generator) -> Iterator[None]:
    """Alter a file that is not empty, and restore it at the end."""
    content = path.read_bytes()
    alter(path, way, rng)
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def alter(path: Path, way: Way, rng: np.random.Generator) -> None:
    """Alter a file that is not empty, at random places."""
    content = path.read_bytes()
    match way:
        case "truncated":
            path.write_bytes(content[: rng.integers(len(content))])
        case "emptied":
            path.write_bytes(b"")
        case "deleted":
            path.unlink()
        case "flipped":
            path.write_bytes(flip(content, rng))
        case "replaced":
            stranger = STRANGERS[rng.integers(len(STRANGERS))]
            if stranger is None:
                path.unlink()
                path.mkdir()
            else:
                path.write_bytes(stranger)


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one byte at a random place to any other value."""
    flipped = bytearray(content)
    flipped[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    return bytes(flipped)
