"""The moment at which a process was killed, as seen in the files that it left behind."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from jaxgen.runs import directory

Moment = Literal[
    "before the first checkpoint",
    "starting again",
    "training",
    "pictures",
    "saving",
    "records",
    "finish",
]
MOMENTS: tuple[Moment, ...] = get_args(Moment)


def moment(run_dir: Path, since: float, num_epochs: int) -> Moment:
    """Return what a process that was started at `since` (seconds since 1970) was doing last.

    "records" begins when all files of a state are written, before its manifest.
    """
    checkpoints = directory.checkpoints_path(run_dir)
    entries = os.listdir(checkpoints) if checkpoints.is_dir() else []
    committed = {_step(name) for name in entries if name.endswith(".json")}
    if not committed:
        return "before the first checkpoint"
    if not _is_new(directory.environment_path(run_dir), since):
        return "starting again"
    last_epoch, last_step = _last_line(run_dir)
    uncommitted = [
        name
        for name in entries
        if _step(name) not in committed and _is_new(checkpoints / name, since)
    ]
    lines = json.loads((checkpoints / f"{max(committed)}.json").read_text())["extra"]["lines"]
    if (lines and lines[-1]["step"] > last_step) or any(map(str.isdigit, uncommitted)):
        return "records"
    if uncommitted:
        return "saving"
    if last_epoch == num_epochs:
        return "finish"
    pictures = (path for path in _samples(run_dir) if int(path.stem[-4:]) > last_epoch)
    return "pictures" if any(_is_new(path, since) for path in pictures) else "training"


def _last_line(run_dir: Path) -> tuple[int, int]:
    """Read epoch and step of the last complete line of metrics.jsonl."""
    path = directory.metrics_path(run_dir)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    complete = [json.loads(line) for line in lines if line.endswith("\n")]
    return (complete[-1]["epoch"], complete[-1]["step"]) if complete else (0, 0)


def _samples(run_dir: Path) -> Iterator[Path]:
    yield from run_dir.glob("samples/epoch_*.png")
    yield from run_dir.glob("members/*/samples/epoch_*.png")


def _step(name: str) -> int:
    """Return the step of a checkpoint's file or directory, finished or not."""
    match = re.match(r"\d+", name)
    return int(match[0]) if match else -1


def _is_new(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except OSError:  # it was renamed meanwhile
        return False
