"""Save the outcome of an epoch: the checkpoint, then the line of metrics."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import PyTree
from rich.console import Console

from jaxgen.runner import epochs, hosts
from jaxgen.runner.epochs import Totals
from jaxgen.runner.pace import Pace
from jaxgen.runner.saved import Saved
from jaxgen.runner.setup import Setup
from jaxgen.runs import directory, records, tensorboard
from jaxgen.runs.records import Record
from jaxgen.training import checkpoint

if TYPE_CHECKING:
    import orbax.checkpoint as ocp
    from tensorboardX import SummaryWriter

SECONDS_OF_SLOW_SAVE = 10.0


class Saver:
    """Saves a run: checkpoints, and the lines of its epochs.

    A state is written in the background. `finish` commits it together with the lines of the epochs
    since the checkpoint before, and then appends these to metrics.jsonl. Every line therefore has a
    checkpoint, and a line that was lost in a crash is restored from it. `closing` finishes the last
    checkpoint when it closes.
    """

    def __init__(
        self,
        setup: Setup,
        run_dir: Path,
        closing: ExitStack,
        screen: Console,
        pace: Pace,
        events: "SummaryWriter | None" = None,
    ):
        self._setup, self._run_dir, self._screen = setup, run_dir, screen
        self._pace, self._events = pace, events
        self._closing, self._path = closing, directory.checkpoints_path(run_dir)
        self._checkpointer: ocp.StandardCheckpointer | None = None
        self._last_save = time.monotonic()  # when it was committed
        self._trained = 0.0  # seconds from the save before to the one that is being written
        self._is_slow = False  # whether the user has been told so
        self._lines: list[Record] = []  # of epochs that no checkpoint contains yet
        self._commit: Callable[[], None] | None = None  # of the state that is being written

    def is_due(self, *, ends_epoch: bool) -> bool:
        """Return whether enough time has passed since the last checkpoint."""
        interval = self._pace.at_ends if ends_epoch else self._pace.within_epochs
        return time.monotonic() - self._last_save >= interval

    def add_epoch(self, record: Record) -> None:
        """Print the line of an epoch, which `save` saves."""
        self._lines.append(record)
        if hosts.is_writer():
            self._screen.print(f"epoch {record['epoch']:3d}  {self._setup.task.describe(record)}")

    def save(self, state: PyTree, step: int, totals: Totals) -> None:
        """Start to write a state, which may be donated on return; `finish` commits it.

        `totals` are those of an unfinished epoch; such a checkpoint is never the best.
        """
        self.finish()
        recipe, lines = self._setup.recipe, self._lines
        score = float("nan")
        if lines and lines[-1]["step"] == step:
            score = epochs.score(lines[-1], recipe.best)
        extra = Saved(tuple(lines), totals).to_json()
        self._trained, self._lines = time.monotonic() - self._last_save, []
        if self._checkpointer is None:
            self._checkpointer = self._closing.enter_context(checkpoint.open_checkpointer())
            self._closing.callback(self.finish)
        checkpointer = self._checkpointer
        checkpoint.save(checkpointer, self._path, step, state)

        def commit() -> None:
            checkpoint.commit(
                checkpointer,
                self._path,
                step,
                score,
                recipe.mode,
                extra,
                keep_earlier=self._pace.keep_earlier,
            )
            if hosts.is_writer():
                records.append_metrics(self._run_dir, lines)
                if self._events is not None:
                    tensorboard.add(self._events, self._run_dir, lines)

        self._commit = commit

    def finish(self) -> None:
        """Commit the checkpoint that `save` started to write, if there is one."""
        commit, self._commit = self._commit, None
        if commit is None:
            return
        start = time.monotonic()
        commit()
        self._last_save = time.monotonic()
        self._warn_if_slow(self._last_save - start)

    def _warn_if_slow(self, waited: float) -> None:
        """Say once that training has waited for the disk longer than it has trained."""
        if self._is_slow or waited <= max(self._trained, SECONDS_OF_SLOW_SAVE):
            return
        self._is_slow = True
        self._screen.print(
            f"slow disk: a checkpoint took {waited:.0f} s after {self._trained:.0f} s of training. "
            "Save less often within epochs (--save-every), or choose another disk (--run-dir).",
            style="yellow",
        )
