"""The cost of evaluations: measured jobs are written, and become rows."""

import json

import pytest

from experiments.benchmark import evaluation, tables
from jaxgen import InputError

RECORD = {
    "title": "MLP VAE: NLL",
    "seconds": 61.4,
    "limit_seconds": 120,
    "cpu_seconds": 110.2,
    "peak_memory_mib": 1234.5,
}


def test_measured_jobs_are_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "measure", lambda name, config: RECORD)
    output = tmp_path / "evaluation_cpu.json"
    evaluation.main(evaluation.Config(jobs=("mlp", "cgan"), output=output))
    assert "MLP VAE: NLL       61      120" in capsys.readouterr().out
    result = json.loads(output.read_text())
    assert list(result["jobs"]) == ["mlp", "cgan"]
    result["environment"] |= {"backend": "cpu", "cpu_count": 2}
    output.write_text(json.dumps(result))
    *_, row = tables.evaluation_table(tmp_path).splitlines()
    assert row == "| MLP VAE: NLL, 2 CPU cores | **61** | 120 | 110 | 1,234 |"


def test_an_unknown_job_is_refused():
    with pytest.raises(InputError, match="no job gan: choose from mlp, conv, annealing, cgan"):
        evaluation.main(evaluation.Config(jobs=("gan",)))


@pytest.mark.slow
def test_a_job_runs_in_a_process_of_its_own():
    result = evaluation.measure("cgan", evaluation.Config(dataset="mnist_5k"))
    assert result["seconds"] > 0
    assert 100 < result["peak_memory_mib"] < 2000
