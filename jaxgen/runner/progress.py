"""The progress of training on the screen: a bar in a terminal, lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from jaxgen.data.examples import Report
from jaxgen.training.loop import Chunk, EpochShape

SECONDS_BETWEEN_LINES = 60
SECONDS_IN_SILENCE = 2
ItemT = TypeVar("ItemT")


class Reporter:
    """Shows the progress of training after each chunk."""

    def __init__(self, progress: Progress, shape: EpochShape, num_epochs: int):
        self._progress, self._shape, self._num_epochs = progress, shape, num_epochs
        num_steps = num_epochs * shape.num_steps
        self._bar = progress.add_task("", total=num_steps, status="compiling")
        self._last_line = time.monotonic()

    def show(self, chunk: Chunk, names: Sequence[str], frozen: frozenset[int]) -> None:
        """Show the named metrics, averaged over the members that are not frozen.

        Outside of a terminal, at most once a minute within an epoch.
        """
        status = describe(chunk, names, frozen, self._shape, self._num_epochs)
        self._progress.update(self._bar, completed=chunk.step, status=status)
        elapsed = time.monotonic() - self._last_line
        if chunk.ends_epoch:
            self._last_line = time.monotonic()  # the line of the epoch follows
        elif elapsed > SECONDS_BETWEEN_LINES and not self._progress.console.is_terminal:
            self._progress.console.print(status)
            self._last_line = time.monotonic()


@contextmanager
def reading_bar(console: Console) -> Iterator[Report]:
    """Show how much of a data set is read, if that takes more than a moment.

    Outside of a terminal, a line says what is done.
    """
    columns = (BarColumn(bar_width=6), TextColumn("{task.description}"), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    start = time.monotonic()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:

        def report(what: str, done: int, total: int) -> None:
            if time.monotonic() - start < SECONDS_IN_SILENCE:
                return
            if what not in bars:
                bars[what] = progress.add_task("")
                if not console.is_terminal:
                    console.print(f"{what} {total:,} images")
            description = f"{what} {done:,} of {total:,} images"
            progress.update(bars[what], total=total, completed=done, description=description)

        yield report


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """Show the share done, a status and the time left; nothing outside of a terminal."""
    columns = (
        BarColumn(bar_width=6),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


def describe(
    chunk: Chunk,
    names: Sequence[str],
    frozen: frozenset[int],
    shape: EpochShape,
    num_epochs: int,
) -> str:
    """Format the epoch, metrics and throughput of a chunk in one line."""
    num_members = np.atleast_1d(chunk.first_not_finite).size
    active = [member for member in range(num_members) if member not in frozen]
    rate = len(active) * shape.chunk_steps * shape.batch_size / chunk.seconds
    means = {name: chunk.metrics[name].reshape(num_members, -1)[active].mean() for name in names}
    metrics = ", ".join(
        f"{name.removesuffix('_nats').removesuffix('_loss')} {value:.4g}"
        for name, value in means.items()
    )
    return f"epoch {chunk.epoch + 1}/{num_epochs}, {metrics}, {rate:,.0f} images/s"


@contextmanager
def stage(progress: Progress, name: str, total: int | None = None) -> Iterator[TaskID]:
    """Show the name of a stage while it lasts; outside of a terminal, print it once."""
    if not progress.console.is_terminal:
        progress.console.print(f"{name} ...")
    bar = progress.add_task("", total=total, status=name)
    yield bar
    progress.remove_task(bar)


def track(progress: Progress, name: str, items: Sequence[ItemT]) -> Iterator[ItemT]:
    """Iterate over the items of a stage, and show the share done."""
    with stage(progress, name, len(items)) as bar:
        for item in items:
            yield item
            progress.advance(bar)
