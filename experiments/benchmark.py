"""How long a training step takes: jaxgen against PyTorch, plain Flax and the machine itself.

    python -m experiments.benchmark --output experiments/results/benchmark_cpu.json

All contenders for a workload live in one process and take turns, a second or so each; a figure is
the median of its rounds. Run it on a machine that does nothing else.
"""

import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Literal

import jax
import tyro
from rich.console import Console
from rich.table import Table

from experiments import alone, floor, launch, products
from experiments import population_benchmark as population
from experiments import stream_benchmark as stream
from experiments.contenders import (
    COMPILED,
    WORKLOADS,
    Contender,
    Workload,
    WorkloadName,
    contenders,
    has_torch,
)
from experiments.tables import three_digits
from experiments.turns import interleave, summary
from jaxgen import console, runs
from jaxgen.errors import InputError
from jaxgen.layers import default_form

FRESH = ("jaxgen", "PyTorch eager", COMPILED)


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


def build(workload: Workload, screen: Console) -> dict[str, Contender]:
    """All contenders that work here, compiled."""
    built = {}
    for name, make in contenders(workload).items():
        try:
            built[name] = make()
            built[name].run()
        except RuntimeError as error:
            if not name.startswith(COMPILED):
                raise
            built.pop(name, None)
            reason = str(error).strip().partition("\n")[0]
            screen.print(f"{name} does not work here, and is left out: {reason}")
    return built


def compare(workload: Workload, rounds: int, screen: Console) -> dict[str, Any]:
    """The record of a workload: each contender's steps, what is in ours, and the floor beneath."""
    built = build(workload, screen)
    rates = floor.rates()
    parts = {"products": products.alone(workload)} if jax.default_backend() == "cpu" else {}
    figures = interleave(built | parts | rates, rounds)
    steps = {name: summary(figures[name]) for name in built}
    flop, byte = (median(figures[name]) for name in rates)
    work = floor.work(workload)
    floor_milliseconds = work.flops * flop + work.bytes * byte
    ours = steps["jaxgen"]["median"]
    record = {
        "title": workload.title,
        "milliseconds_per_step": steps,
        "jaxgen_is_faster_by": {name: step["median"] / ours for name, step in steps.items()},
        "floor": {
            "flops": work.flops,
            "bytes": work.bytes,
            "flops_per_second": 1000 / flop,
            "bytes_per_second": 1000 / byte,
            "milliseconds": floor_milliseconds,
            "share_of_step": floor_milliseconds / ours,
        },
    }
    for name in parts:
        part = summary(figures[name])
        record[name] = {"milliseconds": part, "share_of_step": part["median"] / ours}
    return record


def steps(name: WorkloadName, config: Config, screen: Console) -> dict[str, Any]:
    """The record of a workload, with what each contender takes in processes of its own."""
    workload = WORKLOADS[name]
    record = compare(workload, config.rounds, screen)
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


def table(workloads: Mapping[str, Any]) -> Table:
    """The results as the terminal shows them."""
    result = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    result.add_column("", width=19)  # "plain Flax by steps"
    for column in ("ms/step", "min to max", "jaxgen is\nfaster by", "compile s\ncold/cached"):
        result.add_column(column, justify="right")
    result.add_column("first step\ncold/cached", justify="right")
    result.add_column("peak\nMiB", justify="right")
    for record in workloads.values():
        result.add_row()
        result.add_row(f"[bold]{record['title']}")
        for name, step in record["milliseconds_per_step"].items():
            result.add_row(
                name,
                *_turns(step),
                f"{record['jaxgen_is_faster_by'][name]:.2f}",
                *_alone_cells(record.get("alone", {}).get(name)),
            )
        if "products" in record:
            part = record["products"]
            result.add_row("its products", *_turns(part["milliseconds"]), _share(part))
        least = record["floor"]
        result.add_row("floor", three_digits(least["milliseconds"]), "", _share(least))
        if "epoch_images_per_second" in record:
            result.add_row("whole epoch", "", f"{record['epoch_images_per_second']:,.0f} img/s")
    return result


def _turns(figures: dict[str, Any]) -> tuple[str, str]:
    least, most = three_digits(figures["min"]), three_digits(figures["max"])
    return three_digits(figures["median"]), f"{least} to {most}"


def _share(part: dict[str, Any]) -> str:
    return f"{part['share_of_step']:.2f}"


def _alone_cells(starts: dict[str, dict[str, float]] | None) -> list[str]:
    if starts is None:
        return []
    both = [
        "/".join(f"{starts[start][name]:.1f}" for start in ("cold", "cached"))
        for name in ("compile_seconds", "seconds_to_first_step")
    ]
    return [*both, f"{starts['cold']['peak_memory_mib']:.0f}"]


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
        screen.print(
            "PyTorch is not installed for this device, and left out: "
            "pip install '.[bench]' brings it."
        )
    measure, draw_table = {
        "steps": (lambda name: steps(name, config, screen), table),
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
