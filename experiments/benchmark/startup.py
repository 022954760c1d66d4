"""A contender in a process of its own: the time to its first step, and its peak memory.

Usage: `python -m experiments.benchmark.startup conv-vae jaxgen`.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro

from experiments.benchmark.contenders import PYTORCH, contenders
from experiments.benchmark.workloads import WORKLOADS, Workload, WorkloadName
from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.runs.caches import keep_compiled_programs
from jaxgen.runs.records import read_metrics

EXPERIMENTS = {
    "conv VAE": ["vae_mnist", "--objective", "course"],
    "MLP VAE": ["vae_mnist", "--objective", "course", "--model", "mlp"],
    "cGAN": ["cgan_mnist"],
}


def measure_starts(workload: str, contender: str) -> dict[str, dict[str, float]]:
    """Start the contender twice: with empty caches, and with those that the first start filled."""
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": cache}
        return {start: _start(workload, contender, env) for start in ("cold", "cached")}


def _start(workload: str, contender: str, env: dict[str, str]) -> dict[str, float]:
    start = time.time()
    command = [sys.executable, "-m", "experiments.benchmark.startup", workload, contender]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    record = json.loads(done.stdout.splitlines()[-1])
    return {"seconds_to_first_step": record.pop("first_step_at") - start, **record}


def epoch_images_per_second(workload: Workload) -> float:
    """Measure training images per second in the last of three epochs of an experiment.

    The experiment trains on mnist_5k. The time is that of the whole epoch, including evaluation,
    pictures and checkpoint.
    """
    with tempfile.TemporaryDirectory() as directory:
        run_dir = Path(directory) / "run"
        _experiment(workload, "--run-dir", str(run_dir))
        *_, before, last = read_metrics(run_dir)
    num_images = (last["step"] - before["step"]) * workload.batch_size
    return num_images / (last["time"] - before["time"])


def study_versus_processes(workload: Workload, num_seeds: int) -> dict[str, float]:
    """Time a study of three epochs on mnist_5k, and one process for each of its seeds.

    Both begin with empty caches; later processes use the programs that the first one compiled.
    """
    seconds = {}
    for name, commands in {
        "seconds": [["--num-seeds", str(num_seeds)]],
        "processes_seconds": [["--seed", str(seed)] for seed in range(num_seeds)],
    }.items():
        with tempfile.TemporaryDirectory() as directory:
            env = {"XDG_CACHE_HOME": directory}
            start = time.perf_counter()
            for i, options in enumerate(commands):
                _experiment(workload, *options, "--run-dir", f"{directory}/{i}", **env)
            seconds[name] = time.perf_counter() - start
    return seconds


def _experiment(workload: Workload, *options: str, **env: str) -> None:
    name, *own = EXPERIMENTS[workload.model]
    own += ["--dataset", "mnist_5k", "--epochs", "3", "--batch-size", str(workload.batch_size)]
    command = [sys.executable, "-m", f"experiments.{name}", *own, *options, "--no-report"]
    subprocess.run(command, env=os.environ | env, stdout=subprocess.DEVNULL, check=True)


def measure(contender_name: str, workload: Workload) -> dict[str, Any]:
    """Time two runs: the second shows how much of the first was neither building nor compiling."""
    make = contenders(workload)[contender_name]
    if contender_name in PYTORCH:  # outside of the timing, as jaxgen's imports are
        importlib.import_module("experiments.benchmark.pytorch")
    start = time.perf_counter()
    contender = make()
    contender.run()
    first, now = time.perf_counter(), time.time()
    contender.run()
    seconds = time.perf_counter() - first
    return {
        "first_step_at": now - seconds * (1 - 1 / contender.num_steps),
        "compile_seconds": first - start - seconds,  # including the time to build
        "peak_memory_mib": peak_memory_mib(),
    }


def peak_memory_mib() -> float:
    """Return the peak memory of this process in MiB.

    Linux's `ru_maxrss` may be that of the parent process, and is used elsewhere only.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].removesuffix("kB")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def main(
    workload: tyro.conf.Positional[WorkloadName], contender: tyro.conf.Positional[str]
) -> None:
    """Measure one contender on one workload, and print the result as JSON."""
    names = contenders(WORKLOADS[workload])
    if contender not in names:
        raise InputError(f"There is no contender {contender}: choose from {', '.join(names)}.")
    keep_compiled_programs()
    print(json.dumps(measure(contender, WORKLOADS[workload])))


if __name__ == "__main__":
    with console.report_errors():
        tyro.cli(main, prog="python -m experiments.benchmark.startup")
