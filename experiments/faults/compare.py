"""Compare a run with one that nothing has disturbed, to the bit."""

from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import UInt8
from PIL import Image, ImageSequence

from jaxgen.errors import InputError
from jaxgen.runs import directory, records
from jaxgen.training import checkpoint

TIMING = ("seconds", "time")  # of a record


def differences(one: Path, other: Path) -> list[str]:
    """Describe how two finished runs differ, but for their timing and environment."""
    try:
        found = [
            *_parameter_differences(one, other),
            *_record_differences(one, other),
            *_result_differences(one, other),
            *_picture_differences(one, other),
        ]
    except (InputError, OSError, ValueError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [*found, *broken_promises(other)]


def broken_promises(run_dir: Path) -> list[str]:
    """Describe lines of metrics that are torn, doubled, or ahead of their checkpoints.

    Holds at every moment. A last line without an end is none: whoever reads the file skips it.
    """
    path = directory.metrics_path(run_dir)
    if not path.exists():
        return []
    try:
        lines = records.read_metrics(run_dir)
    except InputError as error:
        return [f"torn: {error}"]
    times = Counter(line["epoch"] for line in lines)
    found = [f"epoch {epoch} has {n} lines" for epoch, n in times.items() if n > 1]
    committed = checkpoint.steps(directory.checkpoints_path(run_dir))
    if lines and lines[-1]["step"] > max(committed, default=-1):
        found.append(f"the line of step {lines[-1]['step']} has no checkpoint: {committed}")
    return found


def read_state(run_dir: Path, step: int) -> dict[str, np.ndarray]:
    """Read the arrays of a checkpoint by path, with Orbax alone."""
    path = directory.checkpoints_path(run_dir).absolute() / str(step)
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(path)
    return arrays_of(tree)


def arrays_of(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a tree by path, on the host."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two arrays are equal to the bit."""
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return same_kind and one.tobytes() == other.tobytes()


def _parameter_differences(one: Path, other: Path) -> list[str]:
    last = [checkpoint.steps(directory.checkpoints_path(run_dir))[-1:] for run_dir in (one, other)]
    if not all(last) or last[0] != last[1]:
        return [f"last checkpoints: {last[0]} and {last[1]}"]
    ours, theirs = read_state(one, last[0][0]), read_state(other, last[0][0])
    return [
        f"parameter {name}"
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours or name not in theirs or not same_bits(ours[name], theirs[name])
    ]


def _record_differences(one: Path, other: Path) -> list[str]:
    ours, theirs = (list(map(_untimed, records.read_metrics(run_dir))) for run_dir in (one, other))
    if len(ours) != len(theirs):
        return [f"{len(ours)} and {len(theirs)} lines of metrics"]
    return [f"line {i}" for i, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b]


def _result_differences(one: Path, other: Path) -> list[str]:
    ours, theirs = (_result(run_dir) for run_dir in (one, other))
    return [] if ours == theirs else ["result.json"]


def _result(run_dir: Path) -> dict[str, Any]:
    result = records.read_result(run_dir)
    metrics = _untimed(result["metrics"])
    return {**result, "metrics": metrics, "environment": None, "training_seconds": None}


def _untimed(record: records.Record) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in TIMING}


def _picture_differences(one: Path, other: Path) -> list[str]:
    ours, theirs = _pictures(one), _pictures(other)
    return [
        str(name)
        for name in sorted(ours | theirs)
        if name not in ours & theirs or not _same_frames(one / name, other / name)
    ]


def _pictures(run_dir: Path) -> set[Path]:
    paths = [*run_dir.rglob("*.png"), *run_dir.rglob("*.gif")]
    return {path.relative_to(run_dir) for path in paths}


def _same_frames(one: Path, other: Path) -> bool:
    ours, theirs = _frames(one), _frames(other)
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(same_bits(a, b) for a, b in pairs)


def _frames(path: Path) -> list[UInt8[np.ndarray, "h w 4"]]:
    with Image.open(path) as picture:
        frames = ImageSequence.Iterator(picture)
        return [np.asarray(frame.convert("RGBA")) for frame in frames]
