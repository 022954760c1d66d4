"""The benchmark of populations: its ratios, and the command itself."""

import json
import subprocess
import sys

import pytest

from experiments import population_benchmark as population
from experiments.contenders import WORKLOADS, Contender


def test_the_throughput_of_populations_is_held_against_single_runs(monkeypatch):
    """A map as fast as single runs, and a vmap that takes twice as long."""
    built = {"vmap": 4.0, "map": 2.0}
    monkeypatch.setattr(population, "single_runs", lambda workload: Contender(lambda: None, 8))
    monkeypatch.setattr(
        population, "in_scan", lambda workload, where: Contender(lambda: None, where.num_members)
    )

    def interleave(contenders, rounds):
        return {name: [built.get(name, 2.0)] * rounds for name in contenders}

    monkeypatch.setattr(population, "interleave", interleave)
    record = population.throughput(WORKLOADS["cgan"], (2, 4), 3)
    for size in ("2", "4"):
        rates = record["member_steps_per_second"][size]
        assert (rates["map"]["median"], rates["map"]["share_of_single"]) == (500, 1.0)
        assert rates["vmap"]["share_of_single"] == 0.5
    assert population.SINGLE in rates


@pytest.mark.slow
def test_a_population_s_throughput_is_measured_as_its_user_does(tmp_path):
    options = ["population", "--workloads", "mlp-vae", "--rounds", "1", "--sizes", "2"]
    command = [sys.executable, "-m", "experiments.benchmark", *options, "--output", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "map" in done.stdout
    record = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    assert record["member_steps_per_second"]["2"]["map"]["median"] > 0
