"""The growth of a step's time and memory: slopes, series, and a real point."""

import json

import pytest
from rich.console import Console

from experiments.benchmark import growth, tables
from experiments.benchmark.growth import Point


def known(name, point, rounds):
    """Time grows with the pixels of a batch, memory with the roots of its sizes."""
    milliseconds = 0.01 * point.image_size**2 * point.batch_size
    return {
        "milliseconds": milliseconds,
        "mebibytes": 100 * (point.batch_size * point.image_size) ** 0.5,
    }


def test_slopes_are_those_of_power_laws(monkeypatch):
    monkeypatch.setattr(growth, "_start", known)
    record = growth.cost("mlp-vae", 3)
    assert record["pixels"]["slopes"] == pytest.approx({"milliseconds": 1, "mebibytes": 0.25})
    assert record["batch"]["slopes"] == pytest.approx({"milliseconds": 1, "mebibytes": 0.5})
    assert [point["batch_size"] for point in record["batch"]["points"]] == [16, 32, 64, 128, 256]
    assert [point["image_size"] for point in record["pixels"]["points"]] == [32, 64, 128, 256]


def test_both_tables_show_all_points(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(growth, "_start", known)
    record = growth.cost("mlp-vae", 3)
    (tmp_path / "growth_cpu.json").write_text(json.dumps({"workloads": {"mlp-vae": record}}))
    _, _, pixels, batch = tables.growth_table(tmp_path).splitlines()
    assert pixels == (
        "| MLP VAE | images of 32, 64, 128, 256 pixels a side, batch of 16 "
        "| 164, 655, 2621, 10486 | **1.00** | 2263, 3200, 4525, 6400 | **0.25** |"
    )
    assert batch.startswith("| MLP VAE | images of 64 pixels a side, batch of 16, 32, 64, 128, 256")
    Console(width=200).print(growth.table({"mlp-vae": record}))
    assert "655, 1311, 2621, 5243, 10486" in capsys.readouterr().out


def test_a_point_is_measured_in_a_process():
    figures = growth._start("mlp-vae", Point(image_size=8, batch_size=4), 1)
    # The state of 0.6 million parameters, three floats each, and less than a hundred times as much.
    assert 0 < figures["milliseconds"] < 10_000
    assert 7 < figures["mebibytes"] < 700
