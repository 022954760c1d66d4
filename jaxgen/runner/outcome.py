"""Save the outcome of an epoch: pictures, then the checkpoint, then the line of metrics."""

from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from rich.console import Console

from jaxgen.recipes.recipe import Drawn
from jaxgen.runner import epochs, hosts
from jaxgen.runner.epochs import Totals
from jaxgen.runner.setup import Setup
from jaxgen.runs import directory, records
from jaxgen.runs.records import Record
from jaxgen.training import checkpoint


class Saver(NamedTuple):
    """Saves the epochs of a run, one at a time.

    A state is written in the background. `finish` waits for it and commits it, and only then
    appends the line of its epoch, so that every line has its checkpoint.
    """

    setup: Setup
    run_dir: Path
    checkpointer: ocp.StandardCheckpointer
    screen: Console

    def start(self, state: PyTree, record: Record, drawn: Drawn) -> Record:
        """Draw the pictures, and start to save a state, which may be donated afterwards."""
        if hosts.is_writer():
            self.screen.print(f"epoch {record['epoch']:3d}  {self.setup.task.describe(record)}")
            self._draw(record, drawn)
        path = directory.checkpoints_path(self.run_dir)
        checkpoint.save(self.checkpointer, path, record["step"], state)
        return record

    def finish(self, record: Record | None) -> None:
        """Commit the checkpoint of a record that `start` returned, and append its line."""
        if record is None:
            return
        recipe, path = self.setup.recipe, directory.checkpoints_path(self.run_dir)
        score = epochs.score(record, recipe.best)
        checkpoint.commit(self.checkpointer, path, record["step"], score, recipe.mode)
        if hosts.is_writer():
            records.append_metrics(self.run_dir, record)

    def save_interim(self, state: PyTree, step: int, totals: Totals) -> None:
        """Save a state within an epoch, with the totals so far; it is never the best checkpoint."""
        recipe, path = self.setup.recipe, directory.checkpoints_path(self.run_dir)
        checkpoint.save(self.checkpointer, path, step, state)
        extra = {"totals": totals.to_json()}
        checkpoint.commit(self.checkpointer, path, step, float("nan"), recipe.mode, extra)

    def _draw(self, record: Record, drawn: Drawn) -> None:
        setup = self.setup
        places = directory.picture_directories(self.run_dir, setup.layout.num_members)
        for member, place in enumerate(places):
            own_drawn, own_record, who = drawn, record, ""
            if setup.is_population:
                own_drawn = jax.tree.map(lambda array, member=member: array[member], drawn)
                own_record = epochs.member_record(record, member)
                who = f"member {member}: "
            directory.samples_path(place, 0).parent.mkdir(parents=True, exist_ok=True)
            setup.task.save_pictures(place, record["epoch"], own_drawn)
            is_frozen = str(member) in record.get("diverged", {})
            if not is_frozen and (trouble := setup.task.warn(own_record, own_drawn)):
                self.screen.print(f"collapsed: {who}{trouble}", style="yellow")
