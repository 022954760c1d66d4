"""The time of a training step: jaxgen compared with PyTorch, plain Flax and the machine's limits.

    python -m experiments.benchmark --output experiments/results/benchmark_cpu.json

All contenders for a workload take turns of about a second in one process; each reported time is the
median over the rounds. Benchmarks need an otherwise idle machine.
"""

import dataclasses
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from experiments.benchmark import growth, populations, saving, startup, steps, streams
from experiments.benchmark.contenders import COMPILED, EAGER, TUNED, has_torch
from experiments.benchmark.machine import processor
from experiments.benchmark.workloads import WORKLOADS, WorkloadName
from jaxgen import console
from jaxgen.convolution import default_implementation
from jaxgen.errors import InputError
from jaxgen.runs.caches import keep_compiled_programs
from jaxgen.runs.environment import environment

STARTUP_CONTENDERS = ("jaxgen", EAGER, COMPILED, TUNED)


@dataclasses.dataclass(frozen=True)
class Config:
    """Benchmark training steps, populations, streaming or checkpoints."""

    subject: tyro.conf.Positional[Literal["steps", "population", "stream", "saving", "growth"]] = (
        "steps"
    )
    """Compare training steps with other libraries, populations with single runs, or streaming with
    images in memory; or measure the cost of saving checkpoints, or how time and memory of a step
    grow with the sizes of batch and images."""
    workloads: tuple[WorkloadName, ...] = tuple(WORKLOADS)
    """The models to train."""
    rounds: int = 10
    """Turns that each contender takes."""
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Numbers of members in the populations."""
    startup: bool = True
    """Also measure whole processes: for steps, the compile time and memory of each contender, and
    a few epochs of the experiments; for populations, a study against one process per seed."""
    output: Path | None = None
    """JSON file for the results; for populations, a plot is saved beside it. None: only print the
    table."""


def measure_steps(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """Compare training steps, and start each contender in processes of its own."""
    workload = WORKLOADS[name]
    record = steps.compare(workload, config.rounds, screen)
    if config.startup:
        times = record["milliseconds_per_step"]
        record["startup"] = {
            contender: startup.measure_starts(name, contender)
            for contender in STARTUP_CONTENDERS
            if contender in times
        }
        if workload.has_experiment:
            record["epoch_images_per_second"] = startup.epoch_images_per_second(workload)
    return record


def measure_populations(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """Measure the throughput of populations, and the time of a whole study."""
    workload = WORKLOADS[name]
    record = populations.throughput(workload, config.sizes, config.rounds, screen)
    if config.startup and workload.has_experiment:
        record["study"] = startup.study_versus_processes(workload, populations.STUDY_SIZE)
    return record


def main(config: Config) -> None:
    """Measure, print a table and write the JSON. Raises InputError for options out of range."""
    if config.rounds < 1:
        raise InputError("--rounds must be at least 1.")
    if min(config.sizes, default=0) < 1:
        raise InputError("Each of --sizes must be at least 1.")
    if config.output is not None and not config.output.absolute().parent.is_dir():
        raise InputError(
            f"There is no directory {config.output.parent} for --output: create it, then try again."
        )
    screen = console.make_console()
    keep_compiled_programs()
    machine: dict[str, Any] = environment() | {
        "processor": processor(),
        "convolution": default_implementation(),
        "load_before": os.getloadavg()[0],  # other processes that compete for the cores
    }
    if has_torch():
        machine["packages"]["torch"] = importlib.metadata.version("torch")
    else:
        screen.print("Skipping PyTorch, which is not installed: run pip install '.[bench]'.")
    measure, draw_table = {
        "steps": (lambda name: measure_steps(name, config, screen), steps.table),
        "population": (lambda name: measure_populations(name, config, screen), populations.table),
        "stream": (lambda name: streams.cost(WORKLOADS[name], config.rounds), streams.table),
        "saving": (lambda name: saving.cost(WORKLOADS[name], config.rounds), saving.table),
        "growth": (lambda name: growth.cost(name, config.rounds), growth.table),
    }[config.subject]
    results = {}
    try:
        for name in config.workloads:
            screen.print(f"{WORKLOADS[name].title} ...")
            results[name] = measure(name)
            if config.output is not None:  # after each, since the next may be interrupted
                record = {"environment": machine, "rounds": config.rounds, "workloads": results}
                config.output.write_text(json.dumps(record, indent=2) + "\n")
    finally:  # so that the measurements are shown even if they cannot be written
        screen.print(draw_table(results))
    if config.output is not None and config.subject == "population":
        populations.draw(config.output.with_suffix(".png"), results)


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, prog="python -m experiments.benchmark"))
