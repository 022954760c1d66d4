"""The time of TensorBoard's event files: one measurement for each epoch of a run."""

import time

import numpy as np
import pytest

from experiments.benchmark import events
from jaxgen.errors import InputError
from jaxgen.pictures import grids
from jaxgen.runs import directory, records, tensorboard

pytest.importorskip("tensorboardX")


def test_every_epoch_is_timed_with_its_samples(tmp_path, monkeypatch, capsys):
    directory.samples_path(tmp_path, 1).parent.mkdir()
    for epoch in (1, 2):
        grids.save(directory.samples_path(tmp_path, epoch), np.zeros((8, 8, 3)))
        line = {"epoch": epoch, "step": epoch, "time": 0.0, "seconds": 1.0, "test/loss": 2.0}
        records.append_metrics(tmp_path, [line])
    written, add = [], tensorboard.add

    def slow(writer, run_dir, lines):
        add(writer, run_dir, lines)
        time.sleep(0.05 * lines[0]["epoch"])
        written.extend(lines)

    monkeypatch.setattr(tensorboard, "add", slow)
    first, second = events.measure(tmp_path)
    assert first >= 50
    assert second >= 100
    assert [line["epoch"] for line in written] == [1, 2]
    events.main(tmp_path)
    assert f"(2 epochs of {tmp_path})" in capsys.readouterr().out


def test_a_run_without_epochs_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no epochs"):
        events.measure(tmp_path)
