"""environment.json: the software and hardware of each start of a run."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import jax

from jaxgen.errors import InputError
from jaxgen.runs import json_file
from jaxgen.runs.directory import environment_path

REMEDY = "delete it to continue the run"
PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment() -> dict[str, object]:
    """Describe this process: versions, devices, commit and command."""
    device = jax.devices()[0]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": num_usable_cpus(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "num_devices": jax.device_count(),
    }


def num_usable_cpus() -> int:
    """Count the cores that this process may run on, which `taskset` and containers limit."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def record_start(run_dir: Path, **details: object) -> None:
    """Append a description of this process, with `details` of the run."""
    starts = read_starts(run_dir) if environment_path(run_dir).exists() else []
    json_file.write(environment_path(run_dir), [*starts, environment() | details])


def read_starts(run_dir: Path) -> list[dict[str, object]]:
    """Read the entry of each start. Raises InputError if the file is missing or damaged."""
    path = environment_path(run_dir)
    starts = json_file.read(path, REMEDY)
    if not isinstance(starts, list) or not starts or not all(map(_is_start, starts)):
        raise InputError(f"{path} is damaged (it is not a list of starts): {REMEDY}.")
    return starts


def _is_start(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("command"), str)


def _command() -> str:
    """Return the command line of this process, with the console script as a user types it."""
    words = sys.orig_argv[1:]
    if words and Path(words[0]).name == "jaxgen":
        return shlex.join(["jaxgen", *words[1:]])
    return shlex.join(["python", *words])


def _commit() -> str | None:
    """Return the commit of the source, with `+` if it was modified; None outside of a clone."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changes)
