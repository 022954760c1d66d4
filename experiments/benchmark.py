"""How long a training step takes: jaxgen against PyTorch, plain Flax and the machine itself.

    python -m experiments.benchmark --output experiments/results/benchmark_cpu.json

All contenders for a workload live in one process and take turns, a second or so each; a figure is
the median of its rounds. Run it on a machine that does nothing else.
"""

import dataclasses
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from experiments import alone, launch
from experiments import population_benchmark as population
from experiments import step_benchmark as step
from experiments import stream_benchmark as stream
from experiments.contenders import COMPILED, EAGER, WORKLOADS, WorkloadName, has_torch
from jaxgen import console, runs
from jaxgen.errors import InputError
from jaxgen.layers import default_form

FRESH = ("jaxgen", EAGER, COMPILED)


@dataclasses.dataclass(frozen=True)
class Config:
    """Times training steps of jaxgen, PyTorch and plain Flax side by side."""

    subject: tyro.conf.Positional[Literal["steps", "population", "stream"]] = "steps"
    """Single steps against other libraries, the throughput of populations, or streams against
    images in memory."""
    workloads: tuple[WorkloadName, ...] = tuple(WORKLOADS)
    """What is trained."""
    rounds: int = 10
    """How often each contender has its turn."""
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Of the populations."""
    alone: bool = True
    """Also start each contender in processes of its own, for compile time and memory, and run the
    experiments for a few epochs, or as a study and as a process for each of its seeds."""
    output: Path | None = None
    """Where the results go as JSON, and the curves of populations as PNG beside it; None: nowhere,
    only the table is printed."""


def steps(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """The record of a workload, with what each contender takes in processes of its own."""
    workload = WORKLOADS[name]
    record = step.compare(workload, config.rounds, screen)
    if config.alone:
        names = [fresh for fresh in FRESH if fresh in record["milliseconds_per_step"]]
        record["alone"] = {fresh: alone.two_starts(name, fresh) for fresh in names}
        if workload.has_experiment:
            record["epoch_images_per_second"] = alone.epoch_images_per_second(workload)
    return record


def populations(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """The record of a workload's populations, and what a study takes from start to end."""
    workload = WORKLOADS[name]
    record = population.throughput(workload, config.sizes, config.rounds, screen)
    if config.alone and workload.has_experiment:
        record["study"] = alone.study_against_processes(workload, population.STUDY_SIZE)
    return record


def main(config: Config) -> None:
    """Measures, prints the table and writes the JSON. Raises InputError for what cannot be done."""
    if config.rounds < 1:
        raise InputError("--rounds must be at least 1.")
    if min(config.sizes, default=0) < 1:
        raise InputError("--sizes must be at least 1 each.")
    if config.output is not None and not config.output.absolute().parent.is_dir():
        raise InputError(f"There is no directory {config.output.parent} for --output.")
    screen = Console(highlight=False)
    launch.keep_compiled_programs()
    environment = runs.environment() | {
        "convolution": default_form(),
        "load_before": os.getloadavg()[0],  # processes that wanted a core
    }
    if has_torch():
        environment["packages"]["torch"] = importlib.metadata.version("torch")
    else:
        screen.print("PyTorch is not installed, and left out: pip install '.[bench]' brings it.")
    measure, draw_table = {
        "steps": (lambda name: steps(name, config, screen), step.table),
        "population": (lambda name: populations(name, config, screen), population.table),
        "stream": (lambda name: stream.cost(WORKLOADS[name], config.rounds), stream.table),
    }[config.subject]
    results = {}
    try:
        for name in config.workloads:
            screen.print(f"{WORKLOADS[name].title} ...")
            results[name] = measure(name)
            if config.output is not None:  # after each: the next may be interrupted
                record = {"environment": environment, "rounds": config.rounds, "workloads": results}
                config.output.write_text(json.dumps(record, indent=2) + "\n")
    finally:  # what was measured is shown, even where it cannot be written
        screen.print(draw_table(results))
    if config.output is not None and config.subject == "population":
        population.draw(config.output.with_suffix(".png"), results)


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(tyro.cli(Config, prog="python -m experiments.benchmark"))
