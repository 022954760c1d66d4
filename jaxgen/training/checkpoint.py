"""Save and restore training states: the latest two and the best, or the latest alone.

The state of step N is the directory `N`, which Orbax writes. The manifest `N.json` beside it
commits the checkpoint after that: it holds the score, and the digests of all files of the state
and of its own content. A state is ignored if its manifest is missing or does not match.
"""

import contextlib
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxgen.errors import InputError
from jaxgen.training import saved_arrays
from jaxgen.types import CheckpointChoice, Mode

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

NUM_LATEST = 2


class Damaged(NamedTuple):
    """A checkpoint that cannot be used."""

    step: int
    reason: str


@contextlib.contextmanager
def open_checkpointer() -> Iterator["ocp.StandardCheckpointer"]:
    """Open Orbax's background writer of states.

    If a state cannot be written, Orbax logs tracebacks from its threads, and so does tensorstore
    for writes that end after the one that failed. They are hidden, since `commit` raises the error.
    """
    import orbax.checkpoint as ocp  # only here, since it would delay the first step

    logger, report = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level

    def report_others(unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = report_others
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(level)
    sys.unraisablehook = report  # not after an error, which late writes may follow


def save(
    checkpointer: "ocp.StandardCheckpointer", directory: Path, step: int, state: PyTree
) -> None:
    """Start to write `state`, which may be donated on return; `commit` completes the checkpoint.

    Raises InputError if the disk is too full.
    """
    size = num_bytes(state)
    directory.mkdir(exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < 2 * size:  # Orbax writes all arrays, then merges them into new files
        raise InputError(
            f"The disk of {directory} has {free / 1e6:.0f} MB left, and writing a checkpoint takes "
            f"{2 * size / 1e6:.0f} MB: free some space, then continue with --resume."
        )
    checkpointer.save(_state_path(directory, step), state, force=True)


def commit(
    checkpointer: "ocp.StandardCheckpointer",
    directory: Path,
    step: int,
    score: float,
    mode: Mode,
    extra: Mapping[str, object] | None = None,
    *,
    keep_earlier: bool = True,
) -> None:
    """Wait until a state is written, commit it, and delete checkpoints that are no longer needed.

    A score of NaN is never the best. `extra` holds JSON values to record with the state. Without
    `keep_earlier`, all other checkpoints are deleted. Raises InputError if the state could not be
    written.
    """
    try:
        checkpointer.wait_until_finished()
    except (OSError, ValueError) as error:  # tensorstore raises ValueError for errors of the disk
        own = error.strerror if isinstance(error, OSError) else None
        reason = own or str(error).partition(" [os_error_code")[0].rpartition(": ")[2]
        raise InputError(
            f"The checkpoint of step {step} cannot be written to {directory} ({reason}): the one "
            "before it is intact. Remove the cause, then continue with --resume."
        ) from None
    if jax.process_index() != 0:
        return
    files = _digests(_state_path(directory, step))
    manifest = {"step": step, "score": score, "extra": extra or {}, "files": files}
    text = json.dumps(manifest | {"digest": _digest_of(manifest)}, indent=1)
    unfinished = _manifest_path(directory, step).with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.replace(_manifest_path(directory, step))
    _prune(directory, mode, keep_earlier=keep_earlier)


def num_bytes(state: PyTree) -> int:
    """Return the size of a state in bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def steps(directory: Path) -> list[int]:
    """List the steps of all committed checkpoints, damaged or not, in order."""
    return sorted(int(path.stem) for path in directory.glob("*.json") if _is_step(path.stem))


def damage(directory: Path, step: int) -> str:
    """Describe the damage to the files of a checkpoint; an empty string if there is none."""
    path = _manifest_path(directory, step)
    try:
        manifest = json.loads(path.read_text())
        digest = manifest.pop("digest")
        files = dict(manifest["files"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{path} is damaged"
    if digest != _digest_of(manifest):
        return f"{path} is altered"
    found = _digests(_state_path(directory, step))
    for name in sorted(files.keys() | found.keys()):
        if found.get(name) != files.get(name):
            kind = "missing" if name not in found else "altered" if name in files else "unknown"
            return f"{_state_path(directory, step) / name} is {kind}"
    return ""


def find_step(directory: Path, choice: CheckpointChoice, mode: Mode) -> tuple[int, list[Damaged]]:
    """Find the step of the latest, the best or a given checkpoint; also return damaged ones.

    If none has a score, the latest is the best. Raises InputError if there is none that can be
    used. Deletes nothing.
    """
    available = steps(directory)
    if not available:
        raise InputError(f"{directory} holds no checkpoint: start a new run.")
    if isinstance(choice, int) and choice not in available:
        raise InputError(
            f"{directory} holds no checkpoint of step {choice}, only of "
            f"{', '.join(map(str, available))}."
        )
    damaged = [Damaged(n, reason) for n in available if (reason := damage(directory, n))]
    sound = [step for step in available if step not in {d.step for d in damaged}]
    if isinstance(choice, int):
        sound = [step for step in sound if step == choice]
    if not sound:
        raise InputError(
            f"No checkpoint in {directory} can be used: "
            f"{'; '.join(reason for _, reason in damaged)}."
        )
    if choice == "best":
        best = _best(directory, sound, mode)
        return sound[-1] if best is None else best, damaged
    return sound[-1], [d for d in damaged if d.step > sound[-1]]


def read_extra(directory: Path, step: int) -> Any:
    """Read the JSON values that `commit` recorded with a state; None if there are none."""
    return json.loads(_manifest_path(directory, step).read_text()).get("extra")


def restore(directory: Path, step: int, like: PyTree) -> PyTree:
    """Restore the state of a step, bit for bit, with the structure and sharding of `like`.

    `like` holds arrays or `ShapeDtypeStruct`s. Leaves are found by name, so that a state may have
    gained parts without leaves since. Raises InputError if names, shapes or types differ, or if the
    files cannot be read.
    """
    path = _state_path(directory, step)
    try:
        arrays = saved_arrays.open_all(path)
        if saved_arrays.match(arrays, like):
            return saved_arrays.read(arrays, like)
    except Exception as error:  # of any class, since the files may have any content
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} cannot be restored ({reason:.300}).") from error
    raise InputError(
        f"The checkpoint of step {step} in {directory} does not fit this model: use the options "
        "and the version of jaxgen that wrote it."
    )


def _prune(directory: Path, mode: Mode, *, keep_earlier: bool) -> None:
    """Delete all but the latest two checkpoints and the best, or all but the latest.

    Manifests go first. States without one are deleted, too: their writing was interrupted.
    """
    committed = steps(directory)
    kept = set(committed[-1:])
    if keep_earlier:
        kept |= {*committed[-NUM_LATEST:], _best(directory, committed, mode)}
    for step in set(committed) - kept:
        _manifest_path(directory, step).unlink()
    for path in directory.iterdir():
        if path.is_dir() and path.name not in map(str, kept):
            shutil.rmtree(path, ignore_errors=True)


def _best(directory: Path, among: Sequence[int], mode: Mode) -> int | None:
    """Find the checkpoint with the best score; None if none has a finite one."""
    scores = {step: score for step in among if np.isfinite(score := _score(directory, step))}
    return (min if mode == "min" else max)(scores, key=scores.__getitem__, default=None)


def _is_step(name: str) -> bool:
    return name.isdecimal() and name == str(int(name))


def _state_path(directory: Path, step: int) -> Path:
    return directory.absolute() / str(step)


def _manifest_path(directory: Path, step: int) -> Path:
    return directory / f"{step}.json"


def _score(directory: Path, step: int) -> float:
    """Read the score of a checkpoint; NaN if it is unreadable."""
    try:
        return float(json.loads(_manifest_path(directory, step).read_text())["score"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return float("nan")


def _digests(path: Path) -> dict[str, str]:
    """Compute the SHA-256 of every file below a directory."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _digest_of(manifest: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
