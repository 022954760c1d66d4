"""The run directory: the one place that knows what a run leaves behind, and where.

config.json        what was asked for
environment.json   what it ran on: one entry for each start
metrics.jsonl      a line for each epoch
checkpoints/       training states
samples/           a grid of samples for each epoch
*.png              other pictures
members/I/         the pictures of member I of a population
"""

import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from jaxgen.errors import InputError

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def config_path(run_dir: Path) -> Path:
    """What was asked for: a JSON object."""
    return run_dir / "config.json"


def environment_path(run_dir: Path) -> Path:
    """What the run ran on: a JSON list, one entry for each start."""
    return run_dir / "environment.json"


def metrics_path(run_dir: Path) -> Path:
    """One JSON object an epoch."""
    return run_dir / "metrics.jsonl"


def checkpoints_path(run_dir: Path) -> Path:
    """Where Orbax keeps the states."""
    return run_dir / "checkpoints"


def samples_path(run_dir: Path, epoch: int) -> Path:
    """The grid of samples after so many epochs."""
    return run_dir / "samples" / f"epoch_{epoch:04d}.png"


def member_path(run_dir: Path, member: int) -> Path:
    """Where a population keeps the pictures of one member."""
    return run_dir / "members" / str(member)


def next_free(parent: Path, name: str) -> Path:
    """`parent/name-1`, or the first number that is not taken."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def check_free(run_dir: Path, *, overwrite: bool) -> None:
    """Raises InputError where something exists, unless it is a run and `overwrite` is true."""
    if not run_dir.exists():
        return
    if not overwrite:
        raise InputError(
            f"{run_dir} exists already: choose another --run-dir, go on with it by --resume, "
            "or delete what it holds by --overwrite."
        )
    if not config_path(run_dir).is_file():
        raise InputError(f"{run_dir} is no run of ours, so --overwrite leaves it alone.")


def create(run_dir: Path, *, overwrite: bool) -> None:
    """Makes an empty run directory. Raises InputError as `check_free`."""
    check_free(run_dir, overwrite=overwrite)
    if run_dir.exists():
        shutil.rmtree(run_dir)
    run_dir.mkdir(parents=True)


def read_config(run_dir: Path) -> dict[str, Any]:
    """What the run was asked for. Raises InputError if the directory is no run."""
    try:
        return json.loads(config_path(run_dir).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{run_dir} is no run: it has no config.json. Give a directory that a run has made."
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{config_path(run_dir)} is damaged: {error}.") from None


def write_config(run_dir: Path, config: dict[str, Any]) -> None:
    """Records what the run was asked for."""
    _replace(config_path(run_dir), json.dumps(config, indent=2) + "\n")


def record_start(run_dir: Path, **details: Any) -> None:
    """Appends the versions, device, commit, command and `details` of this start."""
    path = environment_path(run_dir)
    starts = json.loads(path.read_text()) if path.exists() else []
    _replace(path, json.dumps([*starts, environment() | details], indent=2) + "\n")


def environment() -> dict[str, Any]:
    """What this process runs on."""
    device = jax.devices()[0]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "num_devices": jax.device_count(),
    }


def write_result(run_dir: Path) -> None:
    """Sums up a finished run in one file, which says what was done but not in which folders."""
    records = read_metrics(run_dir)
    start = json.loads(environment_path(run_dir).read_text())[-1]
    config = read_config(run_dir)
    result = {
        "config": {name: config[name] for name in config if not name.endswith("_dir")},
        "environment": start | {"command": re.sub(r" --\w+-dir \S+", "", start["command"])},
        "metrics": records[-1],
        "training_seconds": round(sum(record["seconds"] for record in records), 1),
    }
    _replace(run_dir / "result.json", json.dumps(result, indent=2) + "\n")


def append_metrics(run_dir: Path, record: dict[str, Any]) -> None:
    """Adds one epoch's line."""
    with metrics_path(run_dir).open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of all epochs so far; a line that a crash cut short is left out."""
    path = metrics_path(run_dir)
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def forget_after(run_dir: Path, step: int) -> None:
    """Drops the lines beyond `step`: a run that resumes there will write them again."""
    kept = [record for record in read_metrics(run_dir) if record["step"] <= step]
    _replace(metrics_path(run_dir), "".join(json.dumps(record) + "\n" for record in kept))


def _replace(path: Path, text: str) -> None:
    """Writes the file in one go, so that a crash leaves the old one or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _commit() -> str | None:
    """The commit of the source that runs, with `+` if it has been changed; None if unknown."""
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
