"""Save the outcome of an epoch: pictures, then the checkpoint, then the line of metrics."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from rich.console import Console

from jaxgen.recipes.recipe import Drawn
from jaxgen.runner import epochs, hosts
from jaxgen.runner.epochs import Totals
from jaxgen.runner.saved import Saved
from jaxgen.runner.setup import Setup
from jaxgen.runs import directory, records, tensorboard
from jaxgen.runs.records import Record
from jaxgen.training import checkpoint

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

SECONDS_BETWEEN_SAVES = 10.0  # of epochs that are shorter
SECONDS_OF_SLOW_SAVE = 10.0


class Saver:
    """Saves a run: pictures, checkpoints, and the lines of its epochs.

    A state is written in the background. `finish` commits it together with the lines of the epochs
    since the checkpoint before, and then appends these to metrics.jsonl. Every line therefore has a
    checkpoint, and a line that was lost in a crash is restored from it.
    """

    def __init__(
        self,
        setup: Setup,
        run_dir: Path,
        checkpointer: ocp.StandardCheckpointer,
        screen: Console,
        events: "SummaryWriter | None" = None,
    ):
        self._setup, self._run_dir, self._screen = setup, run_dir, screen
        self._events = events
        self._checkpointer, self._path = checkpointer, directory.checkpoints_path(run_dir)
        self._last_save = time.monotonic()  # when it was committed
        self._trained = 0.0  # seconds from the save before to the one that is being written
        self._is_slow = False  # whether the user has been told so
        self._lines: list[Record] = []  # of epochs that no checkpoint contains yet
        self._commit: Callable[[], None] | None = None  # of the state that is being written

    def is_due(self, *, ends_epoch: bool) -> bool:
        """Return whether to save: at the end of an epoch, ten seconds after the last checkpoint.

        Within an epoch, after --save-every; if that is shorter, it applies to both.
        """
        interval = 60 * self._setup.options.output.save_every
        elapsed = time.monotonic() - self._last_save
        return elapsed >= (min(interval, SECONDS_BETWEEN_SAVES) if ends_epoch else interval)

    def add_epoch(self, record: Record, drawn: Drawn) -> None:
        """Print the line of an epoch, and draw its pictures; `save` saves the line."""
        self._lines.append(record)
        if hosts.is_writer():
            self._screen.print(f"epoch {record['epoch']:3d}  {self._setup.task.describe(record)}")
            self._draw(record, drawn)

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
        checkpoint.save(self._checkpointer, self._path, step, state)

        def commit() -> None:
            checkpoint.commit(self._checkpointer, self._path, step, score, recipe.mode, extra)
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

    def _draw(self, record: Record, drawn: Drawn) -> None:
        setup = self._setup
        places = directory.picture_directories(self._run_dir, setup.layout.num_members)
        for member, place in enumerate(places):
            own_drawn, own_record, who = drawn, record, ""
            if setup.is_population:
                own_drawn = jax.tree.map(lambda array, member=member: array[member], drawn)
                own_record = epochs.member_record(record, member)
                who = f"member {member}: "
            setup.task.save_pictures(place, record["epoch"], own_drawn)
            is_frozen = str(member) in record.get("diverged", {})
            if not is_frozen and (trouble := setup.task.warn(own_record, own_drawn)):
                self._screen.print(f"collapsed: {who}{trouble}", style="yellow")
