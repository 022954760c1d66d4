"""The run directory: never overwritten unasked, never half-written."""

import json

import pytest

from jaxgen import runs
from jaxgen.errors import InputError


def test_a_new_run_gets_the_next_free_number(tmp_path):
    assert runs.next_free(tmp_path, "vae") == tmp_path / "vae-1"
    runs.create(tmp_path / "vae-1", overwrite=False)
    assert runs.next_free(tmp_path, "vae") == tmp_path / "vae-2"


def test_a_run_is_never_overwritten_unasked(tmp_path):
    run_dir = tmp_path / "run"
    runs.create(run_dir, overwrite=False)
    runs.write_config(run_dir, {"seed": 1})
    with pytest.raises(InputError, match=r"exists already.*--run-dir.*--resume.*--overwrite"):
        runs.create(run_dir, overwrite=False)
    assert runs.read_config(run_dir) == {"seed": 1}
    runs.create(run_dir, overwrite=True)
    assert not runs.config_path(run_dir).exists()


def test_overwrite_leaves_what_is_no_run_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is no run"):
        runs.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["missing", "empty", "file", "damaged"])
def test_what_is_no_run_cannot_be_read(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text('{"seed": ')
    with pytest.raises(InputError, match=r"is no run|is damaged"):
        runs.read_config(tmp_path / name)


def test_metrics_come_back_line_by_line_but_for_one_cut_short(tmp_path):
    assert runs.read_metrics(tmp_path) == []
    records = [{"epoch": epoch, "step": 10 * epoch, "loss": 0.1 + epoch} for epoch in (1, 2, 3)]
    for record in records:
        runs.append_metrics(tmp_path, record)
    with runs.metrics_path(tmp_path).open("a") as file:
        file.write('{"epoch": 4, "st')
    assert runs.read_metrics(tmp_path) == records


def test_what_lies_beyond_the_resumed_step_is_forgotten(tmp_path):
    for epoch in (1, 2, 3):
        runs.append_metrics(tmp_path, {"epoch": epoch, "step": 10 * epoch})
    runs.forget_after(tmp_path, 20)
    assert [record["step"] for record in runs.read_metrics(tmp_path)] == [10, 20]


def test_every_start_is_recorded_with_what_it_ran_on(tmp_path):
    runs.record_start(tmp_path, convolution="lax")
    runs.record_start(tmp_path)
    first, second = json.loads(runs.environment_path(tmp_path).read_text())
    assert first["convolution"] == "lax"
    assert first["backend"] == "cpu"
    assert set(runs.PACKAGES) == set(second["packages"])
    assert all(version[0].isdigit() for version in second["packages"].values())


def test_a_result_sums_up_the_run(tmp_path):
    runs.write_config(tmp_path, {"seed": 3, "data_dir": "/home/me/data"})
    runs.record_start(tmp_path, command="python -m train --data-dir /home/me/data --seed 3")
    runs.append_metrics(tmp_path, {"step": 1, "seconds": 1.5})
    runs.append_metrics(tmp_path, {"step": 2, "seconds": 2.25})
    runs.write_result(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["config"] == {"seed": 3}
    assert result["metrics"] == {"step": 2, "seconds": 2.25}
    assert result["training_seconds"] == 3.8
    assert result["environment"]["python"].startswith("3.")
    assert result["environment"]["command"] == "python -m train --seed 3"
