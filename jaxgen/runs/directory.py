"""The run directory: the paths in it, and how it is created.

config.json        the recipe and its options, and the facts about the data
environment.json   software and hardware: one entry per start
metrics.jsonl      one line per epoch
result.json        the last line, with options and environment
evaluation.json    the results of `jaxgen evaluate`, with its options and environment
report.html        the page that `jaxgen report` makes
tensorboard/       event files, if they were asked for
checkpoints/       training states, and the manifests that commit them
lock.json          the process that writes
samples/           a grid of samples per epoch
*.png, *.gif       other pictures
members/I/         the pictures of member I of a population, if it is drawn
"""

import os
import shutil
from pathlib import Path

from jaxgen.errors import InputError
from jaxgen.runs import lock

GLOB_CHARACTERS = "[]*?\\"
MAX_PATH_BYTES = 3800  # of the 4096 that Linux allows; Orbax adds names of its own


def config_path(run_dir: Path) -> Path:
    """Return the path of the recipe, its options and the facts about the data: a JSON object."""
    return run_dir / "config.json"


def environment_path(run_dir: Path) -> Path:
    """Return the path of the software and hardware: a JSON list, one entry per start."""
    return run_dir / "environment.json"


def metrics_path(run_dir: Path) -> Path:
    """Return the path of the metrics: one JSON object per epoch."""
    return run_dir / "metrics.jsonl"


def result_path(run_dir: Path) -> Path:
    """Return the path of the outcome of a finished run: a JSON object."""
    return run_dir / "result.json"


def evaluation_path(run_dir: Path) -> Path:
    """Return the path of the results of an evaluation: a JSON object."""
    return run_dir / "evaluation.json"


def report_path(run_dir: Path) -> Path:
    """Return the path of the report: an HTML page."""
    return run_dir / "report.html"


def events_path(run_dir: Path) -> Path:
    """Return the directory of TensorBoard's event files."""
    return run_dir / "tensorboard"


def checkpoints_path(run_dir: Path) -> Path:
    """Return the directory of the checkpoints."""
    return run_dir / "checkpoints"


def samples_path(run_dir: Path, epoch: int) -> Path:
    """Return the path of the samples after an epoch, counted from 1; 0 is before the first."""
    return run_dir / "samples" / f"epoch_{epoch:04d}.png"


def member_path(run_dir: Path, member: int) -> Path:
    """Return the directory of the pictures of one member of a population."""
    return run_dir / "members" / str(member)


def histogram_path(run_dir: Path) -> Path:
    """Return the path of the histogram of a large population's scores."""
    return run_dir / "histogram.png"


def drawn_members(run_dir: Path) -> list[int]:
    """List the members of a population that have been drawn, in order."""
    names = [path.parent.name for path in (run_dir / "members").glob("*/samples")]
    return sorted(int(name) for name in names if name.isdecimal())


def next_free(parent: Path, name: str) -> Path:
    """Return `parent/name-1`, or the path with the first number that is not taken."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def check_free(run_dir: Path, *, overwrite: bool) -> None:
    """Raise InputError if a run cannot be created here.

    The path must not exist, or be empty as after a crash; with `overwrite`, it may be another run.
    Orbax expands glob characters when it restores a checkpoint, and cannot restore from a path that
    contains them.
    """
    path = os.fsencode(run_dir.absolute())
    if len(path) > MAX_PATH_BYTES or path.decode(errors="ignore").encode() != path:
        raise InputError(
            f"{path!r:.200} is too long for a run directory, or not valid UTF-8: choose another "
            "--run-dir."
        )
    if found := sorted(set(GLOB_CHARACTERS) & set(str(run_dir.absolute()))):
        raise InputError(
            f"{run_dir.absolute()} contains {' '.join(found)}, and checkpoints below such a path "
            "cannot be restored: choose another --run-dir."
        )
    if not run_dir.exists():
        return
    if run_dir.is_dir() and all(path.suffix == ".tmp" for path in run_dir.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"{run_dir} already exists: choose another --run-dir, continue the run with --resume, "
            "or delete it with --overwrite."
        )
    if not config_path(run_dir).is_file():
        raise InputError(
            f"{run_dir} is not a run, so --overwrite does not delete it: choose another --run-dir."
        )


def create(run_dir: Path, *, overwrite: bool) -> None:
    """Create an empty run directory.

    Raises InputError as `check_free` does, and if a process is writing to the run to be deleted.
    """
    check_free(run_dir, overwrite=overwrite)
    if run_dir.exists():
        with lock.hold(run_dir):
            shutil.rmtree(run_dir)
    try:
        run_dir.mkdir(parents=True)
    except FileExistsError:
        raise InputError(
            f"{run_dir} was created by another process: choose another --run-dir."
        ) from None
    except OSError as error:
        raise InputError(f"{run_dir} cannot be created: {error.strerror}.") from None


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, so that a crash leaves the old content or the new."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
