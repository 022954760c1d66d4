"""The command: its options, its messages and its file."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import experiments.benchmark.__main__ as benchmark
from experiments.benchmark import steps
from experiments.benchmark.contenders import contenders
from experiments.benchmark.workloads import WORKLOADS
from jaxgen.errors import InputError

RECORD = {
    "title": "a workload",
    "milliseconds_per_step": {
        "jaxgen": {"median": 50.0, "min": 49.0, "max": 51.0, "rounds": [50.0]},
        "torch.compile": {"median": 105.0, "min": 103.0, "max": 107.0, "rounds": [105.0]},
    },
    "jaxgen_is_faster_by": {"jaxgen": 1.0, "torch.compile": 2.1},
    "floor": {"milliseconds": 25.0, "share_of_step": 0.5},
}


@pytest.fixture
def measured(monkeypatch):
    """`main` without measurements."""
    monkeypatch.setattr(benchmark, "keep_compiled_programs", lambda: None)
    monkeypatch.setattr(steps, "compare", lambda *args: dict(RECORD))


def test_without_pytorch_its_rows_are_missing_with_a_message(monkeypatch, capsys, measured):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert list(contenders(WORKLOADS["cgan"])) == ["jaxgen", "jaxgen, bfloat16"]
    benchmark.main(benchmark.Config(workloads=("cgan",), startup=False))
    assert "Skipping PyTorch, which is not installed: run pip install '.[bench]'." in (
        capsys.readouterr().out
    )


def test_the_results_are_written_with_their_environment(tmp_path, measured):
    output = tmp_path / "benchmark_cpu.json"
    config = benchmark.Config(workloads=("cgan", "mlp-vae"), rounds=3, startup=False, output=output)
    benchmark.main(config)
    results = json.loads(output.read_text())
    assert results["workloads"] == {"cgan": RECORD, "mlp-vae": RECORD}
    assert results["rounds"] == 3
    assert results["environment"]["convolution"] == "matmul"
    assert results["environment"]["load_before"] >= 0


def test_the_startup_of_every_contender_is_recorded_where_it_is_asked_for(monkeypatch, measured):
    monkeypatch.setattr(benchmark.startup, "measure_starts", lambda *names: names)
    monkeypatch.setattr(benchmark.startup, "epoch_images_per_second", lambda workload: 1234.5)
    config = benchmark.Config()
    record = benchmark.measure_steps("mlp-vae", config, benchmark.console.make_console())
    assert record["startup"] == {
        "jaxgen": ("mlp-vae", "jaxgen"),
        "torch.compile": ("mlp-vae", "torch.compile"),
    }
    assert record["epoch_images_per_second"] == 1234.5
    large = benchmark.measure_steps("conv-vae-64", config, benchmark.console.make_console())
    assert "epoch_images_per_second" not in large  # no experiment trains on such images


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, measured, monkeypatch, capsys):
    def compare(workload, *args):
        if workload.model == "cGAN":
            raise KeyboardInterrupt
        return RECORD

    monkeypatch.setattr(steps, "compare", compare)
    output = tmp_path / "benchmark_cpu.json"
    config = benchmark.Config(workloads=("mlp-vae", "cgan"), startup=False, output=output)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(config)
    assert json.loads(output.read_text())["workloads"] == {"mlp-vae": RECORD}
    assert "2.10" in capsys.readouterr().out


def test_a_full_disk_costs_no_result(measured, capsys):
    config = benchmark.Config(workloads=("cgan",), startup=False, output=Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        benchmark.main(config)
    assert "2.10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "--rounds"),
        ({"sizes": (4, 0)}, "--sizes"),
        ({"output": Path("nowhere/x.json")}, "no directory nowhere"),
    ],
)
def test_bad_options_are_refused_before_measuring(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        benchmark.main(benchmark.Config(**options))


@pytest.mark.slow
def test_the_command_measures_steps(tmp_path):
    options = ["--workloads", "mlp-vae", "--rounds", "2", "--no-startup", "--output", "out.json"]
    command = [sys.executable, "-m", "experiments.benchmark", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "MLP VAE 32x32x1" in done.stdout
    workload = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    figures = workload["milliseconds_per_step"]
    assert set(figures) == set(contenders(WORKLOADS["mlp-vae"]))
    for step in figures.values():
        assert 0 < step["min"] <= step["median"] <= step["max"]
        assert len(step["rounds"]) == 2
    for part in ("products", "floor"):
        assert 0.1 < workload[part]["share_of_step"] < 1.5  # above 1 if others disturb
    assert math.isclose(workload["jaxgen_is_faster_by"]["jaxgen"], 1)


@pytest.mark.slow
def test_the_command_measures_streams(tmp_path):
    options = ["stream", "--workloads", "mlp-vae", "--rounds", "1", "--output", "out.json"]
    command = [sys.executable, "-m", "experiments.benchmark", *options]
    subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    record = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    assert 0.5 < record["stream_to_memory"] < 3
    assert record["source_images_per_second"] > 1000
