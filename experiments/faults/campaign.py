"""The parts of the campaign: runs that are killed, and altered files that are opened."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.faults import openings, processes, targets
from experiments.faults.kills import Survival, survive
from experiments.faults.openings import Target, Trial
from experiments.faults.subjects import KILLED, SINGLE
from jaxgen import console

KILLS_PER_RUN = 12
ALTERED_PER_PROCESS = 150  # files altered within a process, for each that is opened by another
SHARES = {"file of a checkpoint": 5, "manifest": 2}  # of the altered files; 1 for each other target


def kill_runs(
    num_kills: int,
    seed: int,
    references: Mapping[str, Path],
    room: Path,
    *,
    deadline: float,
    parallel: int,
    screen: Console,
) -> list[Survival]:
    """Kill the processes of several runs at a time, until the number of kills is reached."""
    survivals: list[Survival] = []

    def next_run(index: int) -> None:
        missing = num_kills - sum(len(survival.kills) for survival in survivals)
        if missing <= 0 or time.time() > deadline:
            return
        subject = KILLED[index % len(KILLED)]
        rng = np.random.default_rng([seed, index])
        run_dir = room / f"{subject.name}-{index}"
        reference = references[subject.name]
        survival = survive(subject, run_dir, reference, rng, min(missing, KILLS_PER_RUN))
        survivals.append(survival)
        for problem in survival.lost + survival.changed:
            screen.print(problem, style="red")
        screen.print(f"{run_dir.name}: {', '.join(kill.moment for kill in survival.kills)}")
        shutil.rmtree(run_dir, ignore_errors=True)

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(next_run, range(num_kills)))
    return survivals


def alter_files(
    number: int, seed: int, part: int, run_dir: Path, room: Path, deadline: float
) -> list[Trial]:
    """Alter files of a copy of a run one after the other, and open them in this process."""
    screen = console.make_console()
    rng = np.random.default_rng([seed, 2**32, part])
    room = room / f"opened-{part}"
    room.mkdir()
    shutil.copytree(run_dir, room / "run")
    known: list[Target] = [
        *targets.run_targets(room / "run"),
        *targets.cache_targets(room),
        *targets.weight_targets(room),
    ]
    shares = np.array([SHARES.get(target.name, 1) for target in known])
    trials: list[Trial] = []
    for index in rng.permutation(np.repeat(np.arange(len(known)), _divide(number, shares))):
        if time.time() > deadline:
            break
        trials.append(openings.attempt(known[index], rng))
        if trials[-1].detail:
            screen.print(trials[-1].detail, style="red")
    return trials


def resume_altered(
    number: int,
    seed: int,
    reference: Path,
    room: Path,
    *,
    deadline: float,
    parallel: int,
    screen: Console,
) -> list[Trial]:
    """Alter files, and verify, resume and train with them in other processes."""
    subject = SINGLE
    stopped = processes.stopped_run(subject, room)

    def next_trials(index: int) -> list[Trial]:
        if time.time() > deadline:
            return []
        rng = np.random.default_rng([seed, 2**32, index])
        if index % 4 == 3:
            own_room = room / f"programs-{index}"
            own_room.mkdir()
            return processes.attempt_with_altered_programs(subject, reference, own_room, rng)
        return [processes.attempt_resume(stopped, reference, room / f"resumed-{index}", rng)]

    with ThreadPoolExecutor(parallel) as pool:
        trials = [trial for found in pool.map(next_trials, range(number)) for trial in found]
    for trial in trials:
        if trial.detail:
            screen.print(trial.detail, style="red")
    return trials


def _divide(total: int, shares: np.ndarray) -> list[int]:
    """Divide a number in proportion to the shares."""
    ends = np.round(total * np.cumsum(shares) / np.sum(shares)).astype(int)
    return np.diff(ends, prepend=0).tolist()
