"""The moment of a kill, as the files of a run tell it."""

import json
import os

import pytest

from experiments.faults.moments import moment
from jaxgen.runs import directory, records

SINCE = 1000.0
NUM_EPOCHS = 3


@pytest.fixture
def run_dir(tmp_path):
    """A run that was started before `SINCE`, and then again, after two of its epochs."""
    for epoch in (1, 2):
        write(directory.samples_path(tmp_path, epoch), "", 500)
        write(tmp_path / "checkpoints" / str(10 * epoch) / "data", "", 500)
        write(tmp_path / "checkpoints" / f"{10 * epoch}.json", manifest(epoch), 500)
        records.append_metrics(tmp_path, [{"epoch": epoch, "step": 10 * epoch}])
    write(directory.environment_path(tmp_path), "[]", 1500)
    return tmp_path


def manifest(*epochs):
    lines = [{"epoch": epoch, "step": 10 * epoch} for epoch in epochs]
    return json.dumps({"extra": {"lines": lines}})


def write(path, text, time):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time, time))
    os.utime(path.parent, (time, time))


def now(run_dir):
    return moment(run_dir, SINCE, NUM_EPOCHS)


def test_a_run_without_a_checkpoint_has_not_come_far(tmp_path):
    assert now(tmp_path / "missing") == "before the first checkpoint"
    (tmp_path / "checkpoints" / "10.orbax-checkpoint-tmp").mkdir(parents=True)
    assert now(tmp_path) == "before the first checkpoint"


def test_a_process_starts_until_it_records_its_environment(run_dir):
    write(directory.environment_path(run_dir), "[]", 500)
    assert now(run_dir) == "starting again"


def test_an_epoch_is_trained_drawn_saved_and_recorded(run_dir):
    assert now(run_dir) == "training"
    write(directory.samples_path(run_dir, 3), "", 1600)
    assert now(run_dir) == "pictures"
    write(run_dir / "checkpoints" / "30.orbax-checkpoint-tmp" / "data", "", 1601)
    assert now(run_dir) == "saving"
    (run_dir / "checkpoints" / "30.orbax-checkpoint-tmp").rename(run_dir / "checkpoints" / "30")
    assert now(run_dir) == "records"
    write(run_dir / "checkpoints" / "30.json", manifest(3), 1602)
    assert now(run_dir) == "records"
    with directory.metrics_path(run_dir).open("a") as file:
        file.write(json.dumps({"epoch": 3})[:-1])
    assert now(run_dir) == "records"
    directory.metrics_path(run_dir).write_text('{"epoch": 3, "step": 30}\n')
    assert now(run_dir) == "finish"


def test_what_an_earlier_process_left_is_old(run_dir):
    write(directory.samples_path(run_dir, 3), "", 600)
    write(run_dir / "checkpoints" / "30.orbax-checkpoint-tmp" / "data", "", 600)
    write(run_dir / "checkpoints" / "30" / "data", "", 600)
    assert now(run_dir) == "training"


def test_a_checkpoint_within_an_epoch_has_no_line(run_dir):
    write(run_dir / "checkpoints" / "25" / "data", "", 1600)
    assert now(run_dir) == "records"
    write(run_dir / "checkpoints" / "25.json", manifest(), 1601)
    assert now(run_dir) == "training"
