"""The user's cache directory: compiled programs, and results that are expensive to compute."""

import hashlib
import os
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
from flax import serialization
from jaxtyping import PyTree

from jaxgen.data.cache import user_cache_dir
from jaxgen.runs.compiled import drop_damaged

MIN_COMPILE_TIME = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"  # JAX's own variable


def path_for(kind: str, key: str) -> Path:
    """Return the file of a cached result; `key` identifies everything that it depends on."""
    return user_cache_dir() / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.msgpack"


def keep_compiled_programs() -> None:
    """Enable JAX's persistent compilation cache, without the programs in it that are damaged.

    Programs of any compile time are kept, unless JAX's own variable sets a minimum. If the cache
    cannot be written, a warning is issued.
    """
    folder = user_cache_dir() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(None, "Permission denied")
        drop_damaged(folder)
    except OSError as error:
        warnings.warn(
            f"{folder} cannot be written ({error.strerror}): programs will be compiled again.",
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if MIN_COMPILE_TIME not in os.environ:
        jax.config.update(MIN_COMPILE_TIME.lower(), 0.0)


def load_or_compute(path: Path, compute: Callable[[], PyTree]) -> PyTree:
    """Load a tree of dicts and arrays from a file, or compute it and write it there.

    The file starts with a checksum, and is recomputed if it is damaged. It is written atomically,
    so that several processes may compute it at the same time. If it cannot be written, a warning
    is issued.
    """
    cached = _load(path)
    if cached is not None:
        return cached
    tree = jax.device_get(compute())
    data = serialization.msgpack_serialize(tree)
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(hashlib.sha256(data).digest() + data)
        unfinished.replace(path)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error.strerror}): it will be computed again.", stacklevel=2
        )
        if unfinished.exists():
            unfinished.unlink()
    return tree


def _load(path: Path) -> PyTree | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, data = content[:32], content[32:]
    if hashlib.sha256(data).digest() != checksum:
        return None
    return serialization.msgpack_restore(data)
