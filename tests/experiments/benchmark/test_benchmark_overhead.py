"""The overhead of an epoch: the experiment's own times, against scans over the same steps."""

import json
import os
import subprocess
import sys

import pytest

from experiments.benchmark import overhead
from jaxgen.errors import InputError


def test_the_experiment_runs_with_the_options_and_its_first_epoch_is_not_counted(monkeypatch):
    commands = []

    def run(command, **rest):
        commands.append(command)
        (run_dir,) = (x.partition("=")[2] for x in command if x.startswith("--run-dir="))
        os.makedirs(run_dir)
        with open(f"{run_dir}/metrics.jsonl", "w") as file:
            for time in (160.0, 162.0, 165.0):  # the first epoch compiled for a minute
                file.write(json.dumps({"epoch": 1, "step": 1, "time": time}) + "\n")

    monkeypatch.setattr(overhead.subprocess, "run", run)
    config = overhead.Config(model="mlp", dataset="mnist", batch_size=32, epochs=3)
    assert overhead.experiment_seconds(config) == [2.0, 3.0]
    (command,) = commands
    assert command[1:3] == ["-m", "experiments.vae_mnist"]
    options = {"--model=mlp", "--dataset=mnist", "--batch-size=32", "--epochs=3"}
    assert options < set(command)


def test_both_medians_and_their_ratio_are_printed(monkeypatch, capsys):
    bare = iter(([1.0, 1.0], [2.0, 4.0]))
    monkeypatch.setattr(overhead, "bare_seconds", lambda config: next(bare))
    monkeypatch.setattr(overhead, "experiment_seconds", lambda config: [1.8, 3.0, 1.2])
    overhead.main(overhead.Config())
    assert capsys.readouterr().out.splitlines() == [
        "bare scan: 1.500 s (1.000 to 4.000)",
        "experiment: 1.800 s (1.200 to 3.000)",
        "ratio of the medians: 1.200",
    ]


def test_one_epoch_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        overhead.main(overhead.Config(epochs=1))


@pytest.mark.slow
def test_the_command_measures_the_overhead(tmp_path):
    options = ["--model", "mlp", "--batch-size", "100", "--epochs", "3"]
    command = [sys.executable, "-m", "experiments.benchmark.overhead", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, last = done.stdout.splitlines()
    assert float(last.removeprefix("ratio of the medians: ")) > 0.8
