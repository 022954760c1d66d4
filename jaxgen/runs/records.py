"""metrics.jsonl, and result.json at the end of a run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgen.errors import InputError
from jaxgen.runs.config_file import read_config
from jaxgen.runs.directory import metrics_path, result_path, write_text
from jaxgen.runs.environment import read_starts

Record = Mapping[str, Any]  # a line of metrics.jsonl


def append_metrics(run_dir: Path, records: Sequence[Record]) -> None:
    """Append the lines of epochs."""
    with metrics_path(run_dir).open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def read_metrics(run_dir: Path) -> list[Record]:
    """Read the lines of all epochs so far, except for a last line that a crash truncated.

    Raises an InputError that names any other damaged line.
    """
    path = metrics_path(run_dir)
    try:
        *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
        del last  # empty, or truncated
        return [_parse(path, number, line) for number, line in enumerate(lines, 1)]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
        assert record["step"] >= 0
    except (AssertionError, ValueError, TypeError, KeyError):
        raise InputError(f"{path}: line {number} is damaged: delete it to continue.") from None
    return record


def reset_metrics(run_dir: Path, step: int, last: Sequence[Record]) -> None:
    """Drop the lines after `step`, which will be written again, and restore lost ones.

    `last` are the lines that the checkpoint of `step` committed.
    """
    kept = {record["step"]: record for record in read_metrics(run_dir) if record["step"] <= step}
    kept |= {record["step"]: record for record in last}
    write_text(metrics_path(run_dir), "".join(json.dumps(kept[n]) + "\n" for n in sorted(kept)))


def without_directories(command: object) -> str:
    """Drop the options of a command that name directories of this machine."""
    return re.sub(r" --\w+-dir \S+", "", str(command))


def write_result(run_dir: Path) -> None:
    """Summarize a finished run in one file, without the paths on this machine."""
    records = read_metrics(run_dir)
    config, start = read_config(run_dir), read_starts(run_dir)[-1]
    for options in config.values():
        if isinstance(options, dict):
            for name in [name for name in options if name.endswith("_dir")]:
                del options[name]
    result = {
        **config,
        "environment": start | {"command": without_directories(start["command"])},
        "metrics": records[-1],
        "training_seconds": round(sum(record["seconds"] for record in records), 1),
    }
    write_text(result_path(run_dir), json.dumps(result, indent=2) + "\n")
