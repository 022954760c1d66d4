"""The time from the start of a process to the first training step of the default command.

    python -m experiments.benchmark.first_step --output experiments/results/first_step_cpu.json

The command is `python -m experiments.vae_mnist --dataset mnist_5k`. It is started with an empty
cache of compiled programs, and then with those that this start has left.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from experiments.benchmark.machine import processor
from experiments.benchmark.timing import summary
from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.runs.environment import environment
from jaxgen.training import loop

EXPERIMENT = ("experiments.vae_mnist", "--dataset", "mnist_5k", "--no-report")
CHILD = "from experiments.benchmark.first_step import run_to_first_step as run; run()"
TITLES = {
    "cold": "to the first step, nothing compiled",
    "cached": "to the first step, with cached programs",
    "jaxgen": "`import jaxgen`",
    "jax": "`import jax`",
}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Start the command, and import jaxgen and JAX, in turns; all times are in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in TITLES}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for start in ("cold", "cached"):
                seconds[start].append(_seconds_to_first_step(Path(cache)))
        for module in ("jaxgen", "jax"):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            seconds[module].append(time.perf_counter() - start)
    return {name: summary(times) for name, times in seconds.items()}


def _seconds_to_first_step(cache: Path) -> float:
    start = time.time()
    command = [sys.executable, "-c", CHILD, *EXPERIMENT, "--run-dir", str(cache / f"run-{start}")]
    env = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1]) - start


def run_to_first_step() -> None:
    """Run the experiment that the arguments name, print when its first step ended, and exit.

    Steps are dispatched in chunks. The first chunk ends later by all its other steps, which take as
    long as those of the second one.
    """
    fit = loop.fit

    def begin(*args: Any, **options: Any) -> Iterator[loop.Chunk]:
        chunks = fit(*args, **options)
        first, now = next(chunks), time.time()
        num_steps = first.step
        print(now - next(chunks).seconds * (1 - 1 / num_steps), flush=True)
        os._exit(0)
        yield

    loop.fit = begin
    _, name, *sys.argv[1:] = sys.argv
    runpy.run_module(name, run_name="__main__")


def main(output: Path | None = None, rounds: int = 5) -> None:
    """Measure, print the medians, and write the JSON."""
    if rounds < 1:
        raise InputError("--rounds must be at least 1.")
    machine = environment() | {"processor": processor(), "load_before": os.getloadavg()[0]}
    seconds = measure(rounds)
    for name, figures in seconds.items():
        print(f"{TITLES[name]}: {figures['median']:.2f} s")
    if output is not None:
        record = {"environment": machine, "rounds": rounds, "seconds": seconds}
        output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    with console.report_errors():
        tyro.cli(main, prog="python -m experiments.benchmark.first_step")
