"""metrics.jsonl, environment.json and result.json."""

import json
import sys

import pytest

from jaxgen.errors import InputError
from jaxgen.runs import directory, environment, records
from jaxgen.runs.config_file import FORMAT


def test_metrics_come_back_line_by_line_without_a_truncated_one(tmp_path):
    assert records.read_metrics(tmp_path) == []
    lines = [{"epoch": epoch, "step": 10 * epoch, "loss": 0.1 + epoch} for epoch in (1, 2, 3)]
    records.append_metrics(tmp_path, lines[:1])
    records.append_metrics(tmp_path, lines[1:])
    with directory.metrics_path(tmp_path).open("a") as file:
        file.write('{"epoch": 4, "st')
    assert records.read_metrics(tmp_path) == lines


@pytest.mark.parametrize("written", [1, 2, 3])
def test_lines_after_the_resumed_step_are_dropped_and_lost_ones_restored(tmp_path, written):
    lines = [{"epoch": epoch, "step": 10 * epoch} for epoch in (1, 2, 3)]
    records.append_metrics(tmp_path, lines[:written])
    records.reset_metrics(tmp_path, 20, lines[1:2])
    assert records.read_metrics(tmp_path) == lines[:2]


def test_every_start_is_recorded_with_its_environment(tmp_path):
    environment.record_start(tmp_path, convolution="lax")
    environment.record_start(tmp_path)
    first, second = environment.read_starts(tmp_path)
    assert first["convolution"] == "lax"
    assert first["backend"] == "cpu"
    packages = second["packages"]
    assert isinstance(packages, dict)
    assert set(environment.PACKAGES) == set(packages)
    assert all(version[0].isdigit() for version in packages.values())


@pytest.mark.parametrize(
    ("started", "recorded"),
    [
        (["/venv/bin/python3", "/venv/bin/jaxgen", "evaluate", "a b"], "jaxgen evaluate 'a b'"),
        (["/venv/bin/python3", "-m", "experiments.vae_mnist"], "python -m experiments.vae_mnist"),
        (["python"], "python"),
    ],
)
def test_the_command_is_what_its_user_typed(monkeypatch, started, recorded):
    monkeypatch.setattr(sys, "orig_argv", started)
    assert environment.environment()["command"] == recorded


@pytest.mark.parametrize("text", ["", "[{", "5", "[1]", "{}", "[]"])
def test_a_damaged_environment_is_named(tmp_path, text):
    directory.environment_path(tmp_path).write_text(text)
    with pytest.raises(InputError, match=r"environment\.json is damaged"):
        environment.record_start(tmp_path)
    assert directory.environment_path(tmp_path).read_text() == text


def test_a_result_summarizes_the_run_without_its_paths(tmp_path):
    config = {"format": FORMAT, "recipe": "x", "data": {"dataset": "d", "data_dir": "/home/me"}}
    directory.config_path(tmp_path).write_text(json.dumps(config))
    command = "python -m train --data-dir /home/me --seed 3"
    environment.record_start(tmp_path, command=command)
    first, second = ({"epoch": n, "step": n, "seconds": 0.75 + 0.75 * n} for n in (1, 2))
    records.append_metrics(tmp_path, [first, second])
    records.write_result(tmp_path)
    result = json.loads(directory.result_path(tmp_path).read_text())
    assert result["data"] == {"dataset": "d"}
    assert result["metrics"] == {"epoch": 2, "step": 2, "seconds": 2.25}
    assert result["training_seconds"] == 3.8
    assert result["environment"]["command"] == "python -m train --seed 3"
