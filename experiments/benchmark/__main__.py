"""The time of a training step: jaxgen compared with PyTorch, plain Flax and the machine's limits.

    python -m experiments.benchmark --output experiments/results/benchmark_cpu.json

All contenders for a workload run in one process, in turns of about a second; a figure is the median
over the rounds. Needs an otherwise idle machine.
"""

import dataclasses
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from experiments.benchmark import populations, startup, steps, streams
from experiments.benchmark.contenders import COMPILED, EAGER, has_torch
from experiments.benchmark.workloads import WORKLOADS, WorkloadName
from jaxgen import console
from jaxgen.convolution import default_implementation
from jaxgen.errors import InputError
from jaxgen.runs.caches import keep_compiled_programs
from jaxgen.runs.environment import environment

STARTED = ("jaxgen", EAGER, COMPILED)


@dataclasses.dataclass(frozen=True)
class Config:
    """Benchmark jaxgen against other libraries, populations against single runs, or streaming."""

    subject: tyro.conf.Positional[Literal["steps", "population", "stream"]] = "steps"
    """Training steps against other libraries, the throughput of populations, or streaming against
    images in memory."""
    workloads: tuple[WorkloadName, ...] = tuple(WORKLOADS)
    """The models to train."""
    rounds: int = 10
    """Turns of each contender."""
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Numbers of members of the populations."""
    startup: bool = True
    """Also start each contender in a process of its own to measure compile time and memory, and run
    the experiments for a few epochs, or as a study and as one process per seed."""
    output: Path | None = None
    """A JSON file for the results; for populations a plot is saved beside it. Without it, only the
    table is printed."""


def measure_steps(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """Compare training steps, and start each contender in processes of its own."""
    workload = WORKLOADS[name]
    record = steps.compare(workload, config.rounds, screen)
    if config.startup:
        names = [started for started in STARTED if started in record["milliseconds_per_step"]]
        record["startup"] = {started: startup.two_starts(name, started) for started in names}
        if workload.has_experiment:
            record["epoch_images_per_second"] = startup.epoch_images_per_second(workload)
    return record


def measure_populations(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """Measure the throughput of populations, and the time of a study from start to end."""
    workload = WORKLOADS[name]
    record = populations.throughput(workload, config.sizes, config.rounds, screen)
    if config.startup and workload.has_experiment:
        record["study"] = startup.study_against_processes(workload, populations.STUDY_SIZE)
    return record


def main(config: Config) -> None:
    """Measure, print the table and write the JSON. Raises InputError for options out of range."""
    if config.rounds < 1:
        raise InputError("--rounds must be at least 1.")
    if min(config.sizes, default=0) < 1:
        raise InputError("--sizes must be at least 1 each.")
    if config.output is not None and not config.output.absolute().parent.is_dir():
        raise InputError(f"There is no directory {config.output.parent} for --output.")
    screen = console.make_console()
    keep_compiled_programs()
    machine = environment() | {
        "convolution": default_implementation(),
        "load_before": os.getloadavg()[0],  # other processes that compete for the cores
    }
    if has_torch():
        machine["packages"]["torch"] = importlib.metadata.version("torch")
    else:
        screen.print("Skipping PyTorch, which is not installed: pip install '.[bench]'")
    measure, draw_table = {
        "steps": (lambda name: measure_steps(name, config, screen), steps.table),
        "population": (lambda name: measure_populations(name, config, screen), populations.table),
        "stream": (lambda name: streams.cost(WORKLOADS[name], config.rounds), streams.table),
    }[config.subject]
    results = {}
    try:
        for name in config.workloads:
            screen.print(f"{WORKLOADS[name].title} ...")
            results[name] = measure(name)
            if config.output is not None:  # after each, since the next may be interrupted
                record = {"environment": machine, "rounds": config.rounds, "workloads": results}
                config.output.write_text(json.dumps(record, indent=2) + "\n")
    finally:  # show the measurements even if they cannot be written
        screen.print(draw_table(results))
    if config.output is not None and config.subject == "population":
        populations.draw(config.output.with_suffix(".png"), results)


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, prog="python -m experiments.benchmark"))
