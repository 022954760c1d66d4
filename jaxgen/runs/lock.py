"""The lock of a run directory: only one process at a time may write to it.

The operating system releases the lock of a process that dies. On a network file system, other
hosts may not see the lock, so the file also names its holder, whose heartbeat keeps it recent.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from jaxgen.errors import InputError

HEARTBEAT_SECONDS = 30
STALE_SECONDS = 300


def lock_path(run_dir: Path) -> Path:
    """Return the path of the file that the holder locks."""
    return run_dir / "lock.json"


@contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run. Raises an InputError that names the process that already holds it."""
    path = lock_path(run_dir)
    with _open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(run_dir, _holder(file)) from None
        except OSError:  # a file system without locks, on which the heartbeat must do
            pass
        holder = _holder(file)
        age = time.time() - path.stat().st_mtime
        if holder.get("host") not in (None, socket.gethostname()) and age < STALE_SECONDS:
            raise _in_use(run_dir, holder)
        _write(file, {"host": socket.gethostname(), "pid": os.getpid()})
        released = threading.Event()
        heartbeat = threading.Thread(target=_beat, args=(path, released), daemon=True)
        heartbeat.start()
        try:
            yield
        finally:
            released.set()
            heartbeat.join()
            _write(file, {})


def _beat(path: Path, released: threading.Event) -> None:
    while not released.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:  # the directory is gone, or cannot be written for a while
            continue


def _open(path: Path) -> TextIO:
    try:
        return path.open("a+")
    except OSError as error:
        raise InputError(f"{path} cannot be used: {error.strerror}.") from None


def _holder(file: TextIO) -> dict[str, object]:
    file.seek(0)
    try:
        holder = json.load(file)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _write(file: TextIO, holder: dict[str, object]) -> None:
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def _in_use(run_dir: Path, holder: dict[str, object]) -> InputError:
    return InputError(
        f"{run_dir} is in use by process {holder.get('pid', 'unknown')} on "
        f"{holder.get('host', 'this host')}: wait until it ends, or stop it."
    )
