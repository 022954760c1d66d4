"""metrics.jsonl, whose lines end with a checksum; result.json and evaluation.json."""

import json
import re
import shlex
import zlib
from collections.abc import Sequence
from pathlib import Path

from jaxgen.errors import InputError
from jaxgen.runs import json_file
from jaxgen.runs.config_file import read_config
from jaxgen.runs.directory import evaluation_path, metrics_path, result_path, write_text
from jaxgen.runs.environment import read_starts
from jaxgen.types import JsonObject

Record = JsonObject  # a line of metrics.jsonl


def append_metrics(run_dir: Path, records: Sequence[Record]) -> None:
    """Append the lines of epochs."""
    with metrics_path(run_dir).open("a") as file:
        file.write("".join(map(_line, records)))


def read_metrics(run_dir: Path) -> list[Record]:
    """Read the lines of all epochs so far, except for a last line that a crash truncated.

    Raises an InputError that names any other damaged line.
    """
    found, damaged = intact_metrics(run_dir)
    if damaged:
        raise InputError(damaged[0])
    return found


def intact_metrics(run_dir: Path) -> tuple[list[Record], list[str]]:
    """Read the lines that `read_metrics` does, without damaged ones; also describe these.

    Raises InputError if the file cannot be read.
    """
    path = metrics_path(run_dir)
    try:
        *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
        del last  # empty, or truncated
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    found: list[Record] = []
    damaged: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_parse(path, number, line))
        except InputError as error:
            damaged.append(str(error))
    return found, damaged


def _line(record: Record) -> str:
    return json.dumps({**record, "crc32": _checksum(record)}) + "\n"


def _checksum(record: Record) -> str:
    return f"{zlib.crc32(json.dumps(record).encode()):08x}"


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
        if record.pop("crc32", None) in (None, _checksum(record)) and is_record(record):
            return record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise InputError(f"{path}: line {number} is damaged: delete it to continue.")


def is_record(record: Record) -> bool:
    """Check that a record has an epoch and a step, and otherwise numbers or groups of them.

    Raises TypeError or KeyError for values that are no records at all.
    """
    counts = record["epoch"], record["step"]
    return all(type(n) is int and n >= 0 for n in counts) and all(map(_is_value, record.values()))


def _is_value(value: object) -> bool:
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return all(map(_is_value, items))
    return value is None or isinstance(value, int | float)


def reset_metrics(run_dir: Path, step: int, last: Sequence[Record]) -> None:
    """Drop the lines after `step`, which will be written again, and restore lost ones.

    `last` are the lines that the checkpoint of `step` committed.
    """
    kept = [record for record in merge(read_metrics(run_dir), last) if record["step"] <= step]
    write_text(metrics_path(run_dir), "".join(map(_line, kept)))


def merge(lines: Sequence[Record], last: Sequence[Record]) -> list[Record]:
    """Merge the lines of a file with those that a checkpoint committed, in order of their steps."""
    by_step = {record["step"]: record for record in [*lines, *last]}
    return [by_step[step] for step in sorted(by_step)]


def without_directories(command: object) -> str:
    """Drop the options of a command that name directories of this machine."""
    words, kept = iter(shlex.split(str(command))), []
    for word in words:
        if re.fullmatch(r"--\w+-dir", word):
            next(words, None)
        elif not re.match(r"--\w+-dir=", word):
            kept.append(word)
    return shlex.join(kept)


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
    json_file.write(result_path(run_dir), result)


def read_result(run_dir: Path) -> JsonObject:
    """Read what `write_result` wrote. Raises InputError if it is damaged."""
    remedy = "delete it, and --resume writes it again"
    return json_file.read_object(result_path(run_dir), "metrics", remedy)


def write_evaluation(run_dir: Path, results: JsonObject) -> None:
    """Write the results of an evaluation, with its options."""
    json_file.write(evaluation_path(run_dir), results)


def read_evaluation(run_dir: Path) -> JsonObject:
    """Read what `write_evaluation` wrote. Raises InputError if it is damaged."""
    remedy = "`jaxgen evaluate` writes it again"
    return json_file.read_object(evaluation_path(run_dir), "checkpoint", remedy)
