"""A campaign of faults: processes are killed, and files altered, at random.

    python -m experiments.faults --output experiments/results/faults.json

Killed runs are resumed until they end, and compared to the bit with runs that nothing disturbed.
With altered files, runs and caches are opened: an error must name the file, or a sound checkpoint
or a rebuilt cache take its place. Takes about half an hour on two cores.
"""

import dataclasses
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tyro

from experiments.faults import campaign, subjects, tables
from experiments.faults.kills import Survival
from experiments.faults.moments import MOMENTS
from experiments.faults.openings import Trial
from experiments.faults.subjects import SINGLE, SUBJECTS
from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.runs.environment import environment


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
    parallel: int = 4
    """Processes at a time; most of them wait for something."""
    output: Path | None = None
    """JSON file for the results; None: only print the table."""

    def __post_init__(self) -> None:
        if min(self.kills, self.altered) < 0 or self.parallel < 1:
            raise InputError("--kills and --altered must be 0 or more, and --parallel at least 1.")


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
        with ThreadPoolExecutor(config.parallel) as pool:
            disturbed = SUBJECTS if config.kills else (SINGLE,)
            found = pool.map(subjects.reference, disturbed, [room] * len(disturbed))
            references = {s.name: run_dir for s, run_dir in zip(disturbed, found, strict=True)}
        run_dir = references[SINGLE.name]
        share = -(-config.altered // config.parallel)
        with ProcessPoolExecutor(config.parallel, get_context("spawn")) as pool:
            altered = [
                pool.submit(campaign.alter_files, share, config.seed, part, run_dir, room, deadline)
                for part in range(config.parallel)
            ]
            trials = campaign.resume_altered(
                -(-config.altered // campaign.ALTERED_PER_PROCESS),
                config.seed,
                run_dir,
                room,
                deadline=deadline,
                parallel=config.parallel,
                screen=screen,
            )
            survivals = campaign.kill_runs(
                config.kills,
                config.seed,
                references,
                room,
                deadline=deadline,
                parallel=config.parallel,
                screen=screen,
            )
            trials += [trial for part in altered for trial in part.result()]
    record = {
        "environment": environment(),
        "seed": config.seed,
        "seconds": round(time.time() - start),
        **summarize(survivals, trials),
    }
    screen.print(tables.table(record))
    if config.output is not None:
        config.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, description=Config.__doc__))
