"""The benchmark of populations: its ratios, its picture, and the command itself."""

import io
import json
import subprocess
import sys

import pytest
from matplotlib.image import imread
from rich.console import Console

from experiments import alone, contenders, tables
from experiments import population_benchmark as population
from experiments.contenders import WORKLOADS, Contender
from jaxgen.training import memory
from jaxgen.training.devices import layout


@pytest.fixture
def screen():
    return Console(file=io.StringIO())


@pytest.fixture
def measured(monkeypatch, screen):
    """A map as fast as single runs, and a vmap that takes twice as long and fits only once."""

    def in_scan(workload, where):
        if (where.strategy, where.num_members) == ("vmap", 4):
            raise MemoryError("9.9 GB are more than the device has")
        return Contender(lambda: None, where.num_members)

    def interleave(contenders, rounds):
        return {name: [4.0 if name == "vmap" else 2.0] * rounds for name in contenders}

    monkeypatch.setattr(population, "single_runs", lambda workload: Contender(lambda: None, 8))
    monkeypatch.setattr(population, "in_scan", in_scan)
    monkeypatch.setattr(population, "interleave", interleave)
    return population.throughput(WORKLOADS["cgan"], (2, 4), 3, screen)


def test_the_throughput_of_populations_is_held_against_single_runs(measured):
    for rates in measured["member_steps_per_second"].values():
        assert (rates["map"]["median"], rates["map"]["share_of_single"]) == (500, 1.0)
        assert population.SINGLE in rates
    assert measured["member_steps_per_second"]["2"]["vmap"]["share_of_single"] == 0.5


def test_what_does_not_fit_is_left_out_and_said(measured, screen):
    assert "vmap" not in measured["member_steps_per_second"]["4"]
    assert "vmap of 4 is left out: 9.9 GB are more" in screen.file.getvalue()


def test_the_readme_s_table_shows_populations_of_eight(tmp_path, measured):
    def rows(record):
        environment = {"backend": "cpu", "cpu_count": 2}
        result = {"environment": environment, "workloads": {"cgan": record}}
        (tmp_path / "population_cpu.json").write_text(json.dumps(result))
        return tables.population_table(tmp_path).splitlines()[2:]

    assert rows(measured) == []
    both, one = measured["member_steps_per_second"].values()
    title = "| cGAN 32x32x1, batch 64, 2 CPU cores | 500 | **1.00** |"
    assert rows(measured | {"member_steps_per_second": {"8": one}}) == [f"{title}  |  |  |"]
    study = {"seconds": 20.4, "processes_seconds": 60.0}
    whole = measured | {"member_steps_per_second": {"8": both}, "study": study}
    assert rows(whole) == [f"{title} **0.50** | 20 s | 60 s |"]


def test_a_contender_that_does_not_fit_is_not_built(monkeypatch):
    monkeypatch.setattr(memory, "device_bytes", lambda: 1_000_000)
    with pytest.raises(MemoryError, match="GB are more than the device has"):
        contenders.in_scan(WORKLOADS["mlp-vae"], where=layout(2, "map"))


def test_rates_are_drawn_against_sizes(tmp_path, measured):
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    population.draw(one, {"cgan": measured})
    population.draw(both, {"cgan": measured, "again": measured | {"title": "again"}})
    drawn = imread(one)[..., :3]
    assert imread(both).shape[1] == 2 * drawn.shape[1]
    assert drawn.std() > 0.05


def test_a_study_is_timed_against_a_process_for_each_of_its_seeds(monkeypatch):
    commands, now = [], [0.0]

    def run(command, env, **rest):
        commands.append((command, env["XDG_CACHE_HOME"]))
        now[0] += 10

    monkeypatch.setattr(alone.subprocess, "run", run)
    monkeypatch.setattr(alone.time, "perf_counter", lambda: now[0])
    figures = alone.study_against_processes(WORKLOADS["mlp-vae"], 3)
    assert figures == {"seconds": 10, "processes_seconds": 30}
    (study, cold), *processes = commands
    assert study[study.index("--num-seeds") + 1] == "3"
    assert [command[command.index("--seed") + 1] for command, _ in processes] == ["0", "1", "2"]
    (shared,) = {cache for _, cache in processes}
    assert shared != cold


@pytest.mark.slow
def test_a_population_s_throughput_is_measured_as_its_user_does(tmp_path):
    options = ["population", "--workloads", "mlp-vae", "--rounds", "1", "--sizes", "2"]
    command = [sys.executable, "-m", "experiments.benchmark", *options, "--output", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "one study" in done.stdout
    record = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    assert record["member_steps_per_second"]["2"]["map"]["median"] > 0
    assert 0 < record["study"]["seconds"] < record["study"]["processes_seconds"]
    assert imread(tmp_path / "out.png").ndim == 3
