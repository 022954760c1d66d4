"""When a run is saved, and what is said of a slow disk."""

import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from jaxgen import console
from jaxgen.recipes import vae
from jaxgen.runner.command_line import defaults, parse
from jaxgen.runner.epochs import Totals
from jaxgen.runner.outcome import Saver
from jaxgen.runner.pace import choose_pace
from jaxgen.runner.setup import Setup
from jaxgen.training import checkpoint


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def disk(clock, monkeypatch):
    """A disk on which a checkpoint takes `disk.seconds`."""
    disk = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(checkpoint, "save", lambda *args: None)
    monkeypatch.setattr(checkpoint, "commit", lambda *args, **kwargs: clock.wait(disk.seconds))
    return disk


def saver(tmp_path, minutes):
    options = parse(vae.RECIPE, defaults(vae.RECIPE), "test", [])
    setup: Any = Setup(vae.RECIPE, options, *[None] * 5)  # pyright: ignore[reportArgumentType]
    pace = choose_pace(float(minutes), 0, is_population=False)
    return Saver(setup, tmp_path, ExitStack(), console.make_console(), pace)


@pytest.mark.parametrize(
    ("minutes", "within", "at_end"),
    [(10, 600, 10), (0.5, 30, 10), (0.1, 6, 6), (0, 0, 0)],
)
def test_a_run_is_saved_once_enough_time_has_passed(tmp_path, clock, minutes, within, at_end):
    for ends_epoch, seconds in ((False, within), (True, at_end)):
        saving = saver(tmp_path, minutes)
        if seconds:
            clock.wait(seconds - 1e-3)
            assert not saving.is_due(ends_epoch=ends_epoch)
            clock.wait(2e-3)
        assert saving.is_due(ends_epoch=ends_epoch)


def test_the_time_counts_from_the_end_of_the_last_save(tmp_path, clock, disk):
    saving, disk.seconds = saver(tmp_path, 10), 30
    saving.save({}, 1, Totals())
    saving.finish()
    clock.wait(9)
    assert not saving.is_due(ends_epoch=True)
    clock.wait(1)
    assert saving.is_due(ends_epoch=True)


@pytest.mark.parametrize(
    ("trained", "waited", "is_slow"),
    [(1, 9, False), (1, 11, True), (60, 50, False), (60, 70, True)],
)
def test_a_disk_that_costs_more_time_than_training_is_named_once(
    tmp_path, clock, disk, capsys, trained, waited, is_slow
):
    saving, disk.seconds = saver(tmp_path, 0), waited
    for step in range(3):
        clock.wait(trained)
        saving.save({}, step, Totals())
        saving.finish()
    output = capsys.readouterr().out
    message = f"slow disk: a checkpoint took {waited} s after {trained} s of training."
    assert output.count(message) == is_slow
    assert output.count("--run-dir") == is_slow
    assert len(output.splitlines()) == is_slow
