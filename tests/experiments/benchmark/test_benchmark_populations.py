"""The throughput of populations of known cost, its plot, and the command itself."""

import io
import json
import subprocess
import sys
from itertools import repeat

import jax
import pytest
from matplotlib.image import imread
from rich.console import Console

from experiments.benchmark import populations, tables
from experiments.benchmark.workloads import WORKLOADS

STEPS = 250


@pytest.fixture
def screen():
    return Console(file=io.StringIO())


@pytest.fixture
def measured(monkeypatch, clock, screen):
    """A step takes 4 ms, in a map as in a single run, and twice as long in a vmap of two.

    A vmap of four does not fit the device.
    """

    def in_scan(workload, where=None):
        if where is None:
            return clock.contender("single", repeat(1.0), STEPS)
        if (where.strategy, where.num_members) == ("vmap", 4):
            raise MemoryError("it needs 9.9 GB, more than the device has")
        seconds = where.num_members * (2.0 if where.strategy == "vmap" else 1.0)
        return clock.contender(where.strategy, repeat(seconds), STEPS * where.num_members)

    monkeypatch.setattr(populations, "in_scan", in_scan)
    return populations.throughput(WORKLOADS["cgan"], (2, 4), 3, screen)


def test_member_steps_per_second_are_compared_with_single_runs(measured):
    rates = measured["member_steps_per_second"]["2"]
    medians = {name: rate["median"] for name, rate in rates.items()}
    assert medians == pytest.approx({"map": 250, "vmap": 125, "8 single runs": 250})
    shares = {name: rate["share_of_single"] for name, rate in rates.items()}
    assert shares == pytest.approx({"map": 1.0, "vmap": 0.5, "8 single runs": 1.0})


def test_eight_single_runs_take_turns_with_the_populations(measured, clock):
    first_round = clock.turns[10:20]  # after each program has run once
    assert first_round == ["vmap", "map", *["single"] * 8]


def test_what_does_not_fit_is_skipped_with_a_message(measured, screen):
    assert set(measured["member_steps_per_second"]["4"]) == {"map", "8 single runs"}
    assert "Skipping vmap with 4 members: it needs 9.9 GB" in screen.file.getvalue()


def test_members_are_sharded_over_devices_that_divide_them(monkeypatch):
    assert populations.strategies(8) == ["vmap", "map"]
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    assert populations.strategies(8) == ["vmap", "map", "shard"]
    assert populations.strategies(6) == ["vmap", "map"]


def test_the_readme_s_table_shows_populations_of_eight(tmp_path, measured):
    def rows(record):
        environment = {"backend": "cpu", "cpu_count": 2}
        result = {"environment": environment, "workloads": {"cgan": record}}
        (tmp_path / "population_cpu.json").write_text(json.dumps(result))
        return tables.population_table(tmp_path).splitlines()[2:]

    assert rows(measured) == []
    both, one = measured["member_steps_per_second"].values()
    title = "| cGAN 32x32x1, batch 64, 2 CPU cores | 250 | **1.00** |"
    assert rows(measured | {"member_steps_per_second": {"8": one}}) == [f"{title}  |  |  |"]
    study = {"seconds": 20.4, "processes_seconds": 60.0}
    whole = measured | {"member_steps_per_second": {"8": both}, "study": study}
    assert rows(whole) == [f"{title} **0.50** | 20 s | 60 s |"]


def test_rates_are_drawn_against_sizes(tmp_path, measured):
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    populations.draw(one, {"cgan": measured})
    populations.draw(both, {"cgan": measured, "again": measured | {"title": "again"}})
    drawn = imread(one)[..., :3]
    assert imread(both).shape[1] == 2 * drawn.shape[1]
    assert drawn.std() > 0.05


@pytest.mark.slow
def test_the_command_measures_populations(tmp_path):
    options = ["population", "--workloads", "mlp-vae", "--rounds", "1", "--sizes", "2"]
    command = [sys.executable, "-m", "experiments.benchmark", *options, "--output", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "one study" in done.stdout
    record = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    assert record["member_steps_per_second"]["2"]["map"]["median"] > 0
    assert 0 < record["study"]["seconds"] < record["study"]["processes_seconds"]
    assert imread(tmp_path / "out.png").ndim == 3
