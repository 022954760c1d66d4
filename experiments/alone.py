"""One contender of the benchmark alone in its process: how soon it trains, and its memory.

python -m experiments.alone conv-vae jaxgen
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

from experiments import launch
from experiments.contenders import PYTORCH, WORKLOADS, Workload, WorkloadName, contenders
from jaxgen import console, runs
from jaxgen.errors import InputError

EXPERIMENTS = {
    "conv VAE": ["vae_mnist", "--objective", "course"],
    "MLP VAE": ["vae_mnist", "--objective", "course", "--model", "mlp"],
    "cGAN": ["cgan_mnist"],
}


def two_starts(workload: str, contender: str) -> dict[str, dict[str, float]]:
    """What a process takes that finds no compiled programs, and then one that finds its own."""
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": cache}
        return {start: _start(workload, contender, env) for start in ("cold", "cached")}


def _start(workload: str, contender: str, env: dict[str, str]) -> dict[str, float]:
    start = time.time()
    command = [sys.executable, "-m", "experiments.alone", workload, contender]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    record = json.loads(done.stdout.splitlines()[-1])
    return {"seconds_to_first_step": record.pop("first_step_at") - start, **record}


def epoch_images_per_second(workload: Workload) -> float:
    """Of the experiment's last epoch of three on mnist_5k, with all that belongs to an epoch."""
    with tempfile.TemporaryDirectory() as directory:
        run_dir = Path(directory) / "run"
        _experiment(workload, "--run-dir", str(run_dir))
        *_, before, last = runs.read_metrics(run_dir)
    num_images = (last["step"] - before["step"]) * workload.batch_size
    return num_images / (last["time"] - before["time"])


def study_against_processes(workload: Workload, num_seeds: int) -> dict[str, float]:
    """Seconds of a study of three epochs on mnist_5k, and of a process for each of its seeds.

    Both begin without compiled programs; the processes find those of the first.
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
    command = [sys.executable, "-m", f"experiments.{name}", *own, *options]
    subprocess.run(command, env=os.environ | env, stdout=subprocess.DEVNULL, check=True)


def measure(contender_name: str, workload: Workload) -> dict[str, Any]:
    """Times the first run and one more, which tells what the first took besides its steps."""
    make = contenders(workload)[contender_name]
    if contender_name in PYTORCH:
        importlib.import_module("experiments.course")  # jaxgen's side is imported, too
    start = time.perf_counter()
    contender = make()
    contender.run()
    first, now = time.perf_counter(), time.time()
    contender.run()
    seconds = time.perf_counter() - first
    return {
        "first_step_at": now - seconds * (1 - 1 / contender.num_steps),
        "compile_seconds": first - start - seconds,  # and build
        "peak_memory_mib": peak_memory_mib(),
    }


def peak_memory_mib() -> float:
    """Of this process; Linux's `ru_maxrss` would be its parent's, where that is larger."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].removesuffix("kB")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def main(
    workload: tyro.conf.Positional[WorkloadName], contender: tyro.conf.Positional[str]
) -> None:
    """Prints the record of one contender on one workload as JSON."""
    names = contenders(WORKLOADS[workload])
    if contender not in names:
        raise InputError(f"There is no contender {contender}: choose from {', '.join(names)}.")
    launch.keep_compiled_programs()
    print(json.dumps(measure(contender, WORKLOADS[workload])))


if __name__ == "__main__":
    with console.errors_in_plain_words():
        tyro.cli(main, prog="python -m experiments.alone")
