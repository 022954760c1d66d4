"""A campaign of faults: processes are killed, and files altered, at random.

    python -m experiments.faults --output experiments/results/faults.json

Killed runs are resumed until they end, and compared to the bit with runs that nothing disturbed.
With altered files, runs and caches are opened: an error must name the file, or a sound checkpoint
or a rebuilt cache take its place. Takes about half an hour on two cores.
"""

import dataclasses
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from experiments.faults import openings, processes, subjects, tables, targets
from experiments.faults.kills import Survival, survive
from experiments.faults.moments import MOMENTS
from experiments.faults.openings import Target, Trial
from experiments.faults.subjects import KILLED, SINGLE, SUBJECTS
from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.runs.environment import environment

KILLS_PER_RUN = 12
ALTERED_PER_PROCESS = 150  # files altered within a process, for each that is opened by another
SHARES = {"file of a checkpoint": 8, "manifest": 2}  # of the altered files; 1 for each other target


@dataclasses.dataclass(frozen=True)
class Config:
    """Kill processes and alter files, and count the runs that are lost or changed."""

    kills: int = 210
    """Processes to kill."""
    altered: int = 2100
    """Files to alter."""
    seed: int = 0
    """Seed of the moments, files and places."""
    minutes: float = 60.0
    """Begin nothing new after this time."""
    parallel: int = 2
    """Processes at a time."""
    output: Path | None = None
    """JSON file for the results; None: only print the table."""

    def __post_init__(self) -> None:
        if min(self.kills, self.altered) < 0 or self.parallel < 1:
            raise InputError("--kills and --altered must be 0 or more, and --parallel at least 1.")


def kill_runs(
    config: Config, references: dict[str, Path], room: Path, deadline: float, screen: Console
) -> list[Survival]:
    """Kill the processes of several runs at a time, until the number of kills is reached."""
    survivals: list[Survival] = []

    def next_run(index: int) -> None:
        missing = config.kills - sum(len(survival.kills) for survival in survivals)
        if missing <= 0 or time.time() > deadline:
            return
        subject = KILLED[index % len(KILLED)]
        rng = np.random.default_rng([config.seed, index])
        run_dir = room / f"{subject.name}-{index}"
        reference = references[subject.name]
        survival = survive(subject, run_dir, reference, rng, min(missing, KILLS_PER_RUN))
        survivals.append(survival)
        for problem in survival.lost + survival.changed:
            screen.print(problem, style="red")
        screen.print(f"{run_dir.name}: {', '.join(kill.moment for kill in survival.kills)}")
        shutil.rmtree(run_dir, ignore_errors=True)

    with ThreadPoolExecutor(config.parallel) as pool:
        list(pool.map(next_run, range(config.kills)))
    return survivals


def alter_files(config: Config, run_dir: Path, room: Path, deadline: float) -> list[Trial]:
    """Alter files of a copy of a run one after the other, and open them in this process."""
    screen = console.make_console()
    rng = np.random.default_rng([config.seed, config.kills])
    (room / "opened").mkdir()
    shutil.copytree(run_dir, room / "opened" / "run")
    known: list[Target] = [
        *targets.run_targets(room / "opened" / "run"),
        *targets.cache_targets(room / "opened"),
        *targets.weight_targets(room / "opened"),
    ]
    shares = np.array([SHARES.get(target.name, 1) for target in known])
    trials: list[Trial] = []
    for index in np.repeat(np.arange(len(known)), _divide(config.altered, shares)):
        if time.time() > deadline:
            break
        trials.append(openings.attempt(known[index], rng))
        if trials[-1].detail:
            screen.print(trials[-1].detail, style="red")
    return trials


def resume_altered(
    config: Config, reference: Path, room: Path, deadline: float, screen: Console
) -> list[Trial]:
    """Alter files, and verify, resume and train with them in other processes."""
    subject = SINGLE
    number = -(-config.altered // ALTERED_PER_PROCESS)
    stopped = processes.stopped_run(subject, room)

    def next_trials(index: int) -> list[Trial]:
        if time.time() > deadline:
            return []
        rng = np.random.default_rng([config.seed, config.kills + 1, index])
        if index % 4 == 3:
            own_room = room / f"programs-{index}"
            own_room.mkdir()
            return processes.attempt_with_altered_programs(subject, reference, own_room, rng)
        return [processes.attempt_resume(stopped, reference, room / f"resumed-{index}", rng)]

    with ThreadPoolExecutor(config.parallel) as pool:
        trials = [trial for found in pool.map(next_trials, range(number)) for trial in found]
    for trial in trials:
        if trial.detail:
            screen.print(trial.detail, style="red")
    return trials


def summarize(survivals: Iterable[Survival], trials: Iterable[Trial]) -> dict[str, Any]:
    """Count the faults of each kind; what befell a run is counted with its last kill."""
    kills = {moment: {"times": 0, "lost": 0, "changed": 0} for moment in MOMENTS}
    problems: list[str] = []
    for survival in survivals:
        for kill in survival.kills:
            kills[kill.moment]["times"] += 1
        last = survival.kills[-1].moment if survival.kills else MOMENTS[0]
        kills[last]["lost"] += bool(survival.lost)
        kills[last]["changed"] += bool(survival.changed)
        problems += survival.lost + survival.changed
    altered: dict[str, dict[str, Counter[str]]] = {}
    for target, way, outcome, detail in trials:
        counts = altered.setdefault(target, {}).setdefault(way, Counter())
        counts.update(["times", outcome])
        problems += [detail] if detail else []
    return {"kills": kills, "altered": altered, "problems": problems}


def main(config: Config) -> None:
    """Run the campaign, print its table and write its record."""
    screen, start = console.make_console(), time.time()
    deadline = start + 60 * config.minutes
    with tempfile.TemporaryDirectory() as directory:
        room = Path(directory)
        references = {subject.name: subjects.reference(subject, room) for subject in SUBJECTS}
        run_dir = references[SINGLE.name]
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            altered = pool.submit(alter_files, config, run_dir, room, deadline)
            trials = resume_altered(config, run_dir, room, deadline, screen)
            survivals = kill_runs(config, references, room, deadline, screen)
            trials += altered.result()
    record = {
        "environment": environment(),
        "seed": config.seed,
        "seconds": round(time.time() - start),
        **summarize(survivals, trials),
    }
    screen.print(tables.table(record))
    if config.output is not None:
        config.output.write_text(json.dumps(record, indent=1) + "\n")


def _divide(total: int, shares: np.ndarray) -> list[int]:
    """Divide a number in proportion to the shares."""
    ends = np.round(total * np.cumsum(shares) / np.sum(shares)).astype(int)
    return np.diff(ends, prepend=0).tolist()


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, description=Config.__doc__))
