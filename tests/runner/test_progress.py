"""What the screen shows while a run trains."""

import io

import numpy as np
import pytest
from rich.console import Console

from jaxgen.runner import progress
from jaxgen.runner.progress import Reporter, describe, progress_bar
from jaxgen.training.loop import Chunk, EpochShape

SHAPE = EpochShape(num_chunks=4, chunk_steps=5, batch_size=8)
NAMES = ("loss", "kl_nats")


def chunk(step, *, loss=2.0, seconds=0.5, ends_epoch=False):
    values = {"loss": np.full(5, loss, np.float32), "kl_nats": np.ones(5, np.float32), "x": None}
    del values["x"]
    return Chunk(None, values, step // SHAPE.num_steps, step, seconds, ends_epoch)


def test_a_status_has_epoch_metrics_and_throughput():
    status = describe(chunk(25, loss=1.25), NAMES, frozenset(), SHAPE, num_epochs=3)
    assert status == "epoch 2/3, loss 1.25, kl 1, 80 images/s"


def test_frozen_members_count_neither_in_means_nor_in_throughput():
    loss = np.array([[1.0] * 5, [np.nan] * 5, [3.0] * 5])
    members = Chunk(None, {"loss": loss}, 0, 5, 0.5, False)
    status = describe(members, ("loss",), frozenset({1}), SHAPE, num_epochs=1)
    assert status == "epoch 1/1, loss 2, 160 images/s"


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(console, clock, seconds, *, ends_epoch=False):
    """The output for chunks that end at these times."""
    with progress_bar(console) as bar:
        reporter = Reporter(bar, SHAPE, num_epochs=3)
        for i, clock[0] in enumerate(seconds, 1):
            reporter.show(chunk(5 * i, ends_epoch=ends_epoch), NAMES, frozenset())
    return console.file.getvalue()


def test_without_a_terminal_there_is_a_line_a_minute(clock):
    console = Console(file=io.StringIO(), force_terminal=False)
    lines = shown(console, clock, [20, 59, 61, 100, 119, 122, 130]).splitlines()
    assert lines == ["epoch 1/3, loss 2, kl 1, 80 images/s", "epoch 2/3, loss 2, kl 1, 80 images/s"]


def test_without_a_terminal_ends_of_epochs_leave_the_line_to_their_record(clock):
    console = Console(file=io.StringIO(), force_terminal=False)
    assert shown(console, clock, [70, 140, 210], ends_epoch=True) == ""


def test_on_a_terminal_of_80_columns_the_bar_has_the_whole_status(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    assert "epoch 1/3, loss 2, kl 1, 80 images/s" in shown(console, clock, [61, 62])


def test_a_long_reading_is_told_in_a_line_outside_of_a_terminal(clock):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    with progress.reading_bar(console) as report:
        report("reading", 256, 9000)
        assert console.file.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]
        for clock[0] in (3.0, 4.0):
            report("reading", 512, 9000)
        report("comparing", 512, 9000)
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert [line for line in lines if line] == ["reading 9,000 images", "comparing 9,000 images"]


def test_a_long_reading_has_a_bar_in_a_terminal(clock):
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress.reading_bar(console) as report:
        for clock[0] in (1.0, 3.0):
            report("reading", 4500, 9000)
    assert "reading 4,500 of 9,000 images" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
