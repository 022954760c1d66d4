"""Kill the processes of a run at random moments, and resume it each time."""

import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.faults import compare, subjects
from experiments.faults.moments import MOMENTS, Moment, moment
from experiments.faults.subjects import Subject
from jaxgen.runs import directory

# How long to wait, at most, once a process has come to a moment, before it is killed.
SECONDS: dict[Moment, float] = {
    "before the first checkpoint": 8.0,
    "starting again": 4.0,
    "training": 3.0,
    "pictures": 0.01,
    "saving": 0.05,
    "records": 0.01,
    "finish": 1.5,
}
EARLY: tuple[Moment, Moment] = ("before the first checkpoint", "starting again")
POLL_SECONDS = 0.004
LONGEST_SECONDS = 120.0


class Kill(NamedTuple):
    """A process that was killed."""

    subject: str
    moment: Moment
    seconds: float
    """How long it lived."""


class Survival(NamedTuple):
    """The kills of a run, and what went wrong."""

    kills: list[Kill]
    lost: list[str]
    """Why the run did not come to its end."""
    changed: list[str]
    """How it differs from the undisturbed run."""


def survive(
    subject: Subject, run_dir: Path, reference: Path, rng: np.random.Generator, max_kills: int
) -> Survival:
    """Train a run whose processes are killed, up to `max_kills` times, and compare its end."""
    kills: list[Kill] = []
    changed: list[str] = []
    while not changed:
        may_kill = len(kills) < max_kills
        kill, code, output = _attempt(subject, run_dir, rng, may_kill)
        if kill is not None:
            kills.append(kill)
            changed += compare.broken_promises(run_dir)
        elif code == 0 or "is finished" in output:
            changed += compare.differences(reference, run_dir)
            break
        else:
            return Survival(kills, [f"{subject.name} exits with code {code}: {output}"], [])
    return Survival(kills, [], [f"{subject.name}: {text}" for text in changed])


def _attempt(
    subject: Subject, run_dir: Path, rng: np.random.Generator, may_kill: bool
) -> tuple[Kill | None, int, str]:
    """Start or resume a run; return how it was killed, or else its exit code and output."""
    exists = directory.config_path(run_dir).exists()
    command = subjects.resume(run_dir) if exists else subjects.train(subject, run_dir)
    log, since = run_dir.with_suffix(".log"), time.time()
    with subjects.started(command, run_dir.parent, log) as process:
        if may_kill:
            _wait(process, subject, run_dir, since, rng)
            process.kill()
    code = process.returncode
    if code != -signal.SIGKILL:
        return None, code, log.read_text()
    when = moment(run_dir, since, subject.num_epochs)
    return Kill(subject.name, when, round(time.time() - since, 3)), code, ""


def _wait(
    process: subprocess.Popen[bytes],
    subject: Subject,
    run_dir: Path,
    since: float,
    rng: np.random.Generator,
) -> None:
    """Wait until a process comes to a moment that is drawn at random, and for a while longer.

    The moments are of very different lengths: at times drawn uniformly, hardly a kill would hit the
    writing of a record.
    """
    aim = MOMENTS[rng.integers(len(MOMENTS))]
    now = moment(run_dir, since, subject.num_epochs)
    if aim in EARLY or (now == EARLY[0] and rng.random() < 0.3):
        aim = now
    while aim != now and process.poll() is None and time.time() < since + LONGEST_SECONDS:
        time.sleep(POLL_SECONDS)
        now = moment(run_dir, since, subject.num_epochs)
    time.sleep(rng.uniform(0, SECONDS[aim]))
