"""JAX's cache of compiled programs, which JAX neither checks nor writes atomically.

A file beside each program holds its digest, from the first start that finds the program whole.
"""

import functools
import hashlib
import shutil
import sys
import zlib
from pathlib import Path

ZSTD = b"\x28\xb5\x2f\xfd"  # begins a program if JAX finds zstd; otherwise JAX uses zlib


@functools.cache  # once per process
def drop_damaged(folder: Path) -> None:
    """Delete programs that differ from their digests, and write the digests of new ones.

    JAX itself would warn about such a program at every start, and never replace it. A program that
    another process is writing is deleted, too: it will be compiled again.
    """
    for program in folder.glob("*-cache"):
        if program.is_dir():
            shutil.rmtree(program)
            continue
        try:
            content = program.read_bytes()
        except FileNotFoundError:  # another process was faster
            continue
        digest = program.with_name(f"{program.name}.sha256")
        found = hashlib.sha256(content).hexdigest()
        if digest.exists():
            is_sound = digest.read_text(errors="replace") == found
        elif is_sound := _is_whole(content):
            digest.write_text(found)
        if not is_sound:
            program.unlink(missing_ok=True)
            digest.unlink(missing_ok=True)


def _is_whole(content: bytes) -> bool:
    try:
        if not content.startswith(ZSTD):
            zlib.decompress(content)
        elif sys.version_info >= (3, 14):
            from compression import zstd

            zstd.decompress(content)
        else:
            import zstandard  # pyright: ignore[reportMissingImports]

            zstandard.decompress(content)
    except Exception:  # of any class, since the file may have any content
        return False
    return True
