"""The time and peak memory of `jaxgen evaluate` on the default models.

    python -m experiments.benchmark.evaluation --output experiments/results/evaluation_cpu.json

Each job is a process of its own that evaluates a run without training, since the weights do not
affect the time. The cGAN's run trains the classifier beforehand, as it does once per data set.
MNIST has 10,000 test images to compare samples with; `mnist_5k` has 1,000.
"""

import dataclasses
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from rich.table import Table

from experiments.benchmark.startup import peak_memory_mib
from jaxgen import console
from jaxgen.commands.evaluate import evaluate
from jaxgen.commands.train import train_command
from jaxgen.errors import InputError
from jaxgen.runner.evaluation_options import EvaluationOptions, LikelihoodOptions
from jaxgen.runs.environment import environment


class Job(NamedTuple):
    """An evaluation, and the time that it may take."""

    title: str
    train: tuple[str, ...]
    """The arguments of `jaxgen train`."""
    options: EvaluationOptions
    likelihood: LikelihoodOptions
    limit_seconds: int


LIKELIHOOD = EvaluationOptions(parts=("likelihood",))
MLP = ("vae", "--model", "mlp")
JOBS = {
    "mlp": Job("MLP VAE: NLL-5000 of 1000 images", MLP, LIKELIHOOD, LikelihoodOptions(), 120),
    "conv": Job(
        "conv VAE: NLL-5000 of 100 images",
        ("vae",),
        LIKELIHOOD,
        LikelihoodOptions(num_images=100),
        600,
    ),
    "annealing": Job(
        "MLP VAE: annealing for 50 images",
        MLP,
        LIKELIHOOD,
        LikelihoodOptions(num_images=50, annealing=True),
        300,
    ),
    "cgan": Job(
        "cGAN: 10,000 samples",
        ("cgan",),
        EvaluationOptions(parts=("samples",)),
        LikelihoodOptions(),
        180,
    ),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure the time and the peak memory of evaluations."""

    jobs: tuple[str, ...] = tuple(JOBS)
    """mlp, conv, annealing, cgan."""
    dataset: str = "mnist"
    """mnist, or mnist_5k."""
    manual_dir: Path | None = None
    """Directory with MNIST's original .gz files."""
    output: Path | None = None
    """JSON file for the results; None: only print the table."""


def measure(name: str, config: Config) -> dict[str, Any]:
    """Evaluate a run of no epoch in a process of its own, with empty caches of programs."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(evaluate_in_this_process, (name, config))


def evaluate_in_this_process(name: str, config: Config) -> dict[str, Any]:
    """Create the run and evaluate it; the time is that of the evaluation alone."""
    job = JOBS[name]
    data = ["--dataset", config.dataset]
    if config.manual_dir is not None:
        data += ["--manual-dir", str(config.manual_dir)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        run_dir = Path(folder) / "run"
        train_command([*job.train, *data, "--epochs", "0", "--run-dir", str(run_dir)])
        start, cpu_start = time.perf_counter(), time.process_time()
        evaluate(run_dir, general=job.options, likelihood=job.likelihood)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "title": job.title,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # of all cores, which other processes hardly affect
        "limit_seconds": job.limit_seconds,
        "peak_memory_mib": peak_memory_mib(),
    }


def table(results: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "seconds", "at most", "CPU seconds", "peak memory, MiB"):
        drawn.add_column(column, justify="right" if column else "left")
    for record in results.values():
        drawn.add_row(
            record["title"],
            f"{record['seconds']:.0f}",
            str(record["limit_seconds"]),
            f"{record['cpu_seconds']:.0f}",
            f"{record['peak_memory_mib']:.0f}",
        )
    return drawn


def main(config: Config) -> None:
    """Measure, print a table and write the JSON. Raises InputError for an unknown job."""
    if unknown := set(config.jobs) - JOBS.keys():
        raise InputError(
            f"There is no job {', '.join(sorted(unknown))}: choose from {', '.join(JOBS)}."
        )
    screen = console.make_console()
    machine = environment() | {"load_before": os.getloadavg()[0]}
    results: dict[str, Any] = {}
    for name in config.jobs:
        results[name] = measure(name, config)
        if config.output is not None:  # after each, since the next may be interrupted
            record = {"environment": machine, "dataset": config.dataset, "jobs": results}
            config.output.write_text(json.dumps(record, indent=2) + "\n")
    screen.print(table(results))


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, prog="python -m experiments.benchmark.evaluation"))
