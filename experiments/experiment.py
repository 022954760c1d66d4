"""An experiment as a value: what is trained, and how the result is looked at.

What surrounds that (run directory, epochs, checkpoints, records) is the same for all of them, and
for a population what it is for one run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding
from jaxtyping import Array, Key
from rich.console import Console
from rich.progress import Progress

from experiments import launch
from experiments.members import members, settings
from experiments.records import (
    Epoch,
    Values,
    diverged_before,
    epochs,
    member_record,
    members_table,
    record_of,
)
from experiments.room import check_room
from jaxgen import pictures, runs
from jaxgen.training import checkpoint, loop
from jaxgen.training.devices import Layout
from jaxgen.training.streaming import stream
from jaxgen.types import Batch, Learner, Metrics, State

Drawn = dict[str, np.ndarray]  # what pictures show


class Experiment(NamedTuple):
    """A configured experiment on loaded data; its functions are of one run, or of one member."""

    name: str
    config: Any
    sets: launch.DataSets
    layout: Layout
    learner: Learner
    hypers: Callable[[Any], Any]  # of a configuration
    best: str  # the metric that the kept checkpoint is best by
    mode: Literal["min", "max"]
    evaluate: Callable[[State, Batch, Key[Array, ""]], Metrics]  # on the test set
    draw: Callable[[State, Key[Array, ""]], dict[str, Array]]
    save_pictures: Callable[[Path, int, Drawn], None]  # into a directory, after an epoch
    tell: Callable[[Mapping[str, Any]], str]  # an epoch's record in a few words
    details: Mapping[str, Any]  # for environment.json
    warn: Callable[[Drawn, Mapping[str, Any]], str | None] = lambda drawn, record: None

    @property
    def members(self) -> list[Any]:
        """The configuration of each run."""
        return members(self.config)

    @property
    def is_population(self) -> bool:
        """Whether arrays have a member axis."""
        return self.layout.num_members is not None

    @property
    def epoch_shape(self) -> loop.EpochShape:
        """How an epoch is cut into chunks, steps and batches."""
        return loop.epoch_shape(len(self.sets.train.label), self.config.run.batch_size)


def run_keys(experiment: Experiment, sharding: NamedSharding | None = None) -> loop.RunKeys:
    """All randomness of the run, or of each member; of this process alone without a sharding."""
    keys = jax.jit(experiment.layout.lift(_keys, (0,)), out_shardings=sharding)
    return keys(_seeds(experiment))


def initial_state(experiment: Experiment) -> State:
    """The state before the first update."""
    layout = experiment.layout

    def init(seed: Array, hypers: Any) -> State:
        return experiment.learner.init(_keys(seed).init, hypers)

    hypers = _stack(experiment, [experiment.hypers(member) for member in experiment.members])
    return jax.jit(layout.lift(init, (0, 0)), out_shardings=layout.members)(
        _seeds(experiment), hypers
    )


def open_manager(experiment: Experiment, run_dir: Path) -> ocp.CheckpointManager:
    """The checkpoints of a run; see `checkpoint.open_manager`."""
    path = runs.checkpoints_path(run_dir)
    return checkpoint.open_manager(path, experiment.best, experiment.mode)


def train(experiment: Experiment, progress: Progress) -> Path:
    """Trains to the last epoch, from the start or from where the run to resume has come.

    Returns the run directory. Raises InputError if the run does not fit the device, and if a
    metric becomes NaN or infinite, in a population for all members.
    """
    layout, sets, shape = experiment.layout, experiment.sets, experiment.epoch_shape
    keys, num_epochs = run_keys(experiment, layout.members), experiment.config.run.epochs
    train = loop.trainer(experiment.learner.step, layout)
    shapes = jax.eval_shape(lambda: initial_state(experiment))
    if notice := check_room(train, shapes, sets, keys.step, shape, layout):
        progress.console.print(notice)
    state = initial_state(experiment)
    run_dir = _open(experiment, progress)
    with open_manager(experiment, run_dir) as manager:
        state = _begin(experiment, run_dir, manager, state)
        data = sets.train
        if sets.is_streamed:
            data = stream(sets.train, run_keys(experiment).order, shape, layout, sets.pad)
        chunks = loop.fit(
            train, state, data, keys, shape=shape, num_epochs=num_epochs, layout=layout
        )
        steps, look = loop.steps(state, layout), looker(experiment, keys.evaluate)
        diverged = diverged_before(steps, runs.read_metrics(run_dir))
        for epoch in epochs(progress, chunks, shape, num_epochs, diverged):
            _keep(experiment, run_dir, manager, epoch, look, progress)
    if launch.is_writer():
        runs.write_result(run_dir)
    return run_dir


def adopt(experiment: Experiment, state: State, progress: Progress) -> Path:
    """A run directory that begins with `state`, looked at as if it came out of an epoch 0."""
    run_dir = _open(experiment, progress)
    with open_manager(experiment, run_dir) as manager:
        state = _begin(experiment, run_dir, manager, state)
        epoch = Epoch(state, 0, loop.num_updates(state), 0.0, {}, {})
        look = looker(experiment, run_keys(experiment, experiment.layout.members).evaluate)
        _keep(experiment, run_dir, manager, epoch, look, progress)
    return run_dir


def looker(
    experiment: Experiment, key: Key[Array, "..."]
) -> Callable[[State], tuple[Values, Drawn]]:
    """Compiles how a state is evaluated and drawn; what it returns is on the host."""
    layout, test = experiment.layout, experiment.sets.test
    evaluate = jax.jit(layout.lift(experiment.evaluate, (0, None, 0)), out_shardings=layout.shared)
    draw = jax.jit(layout.lift(experiment.draw, (0, 0)), out_shardings=layout.shared)
    return lambda state: jax.device_get((evaluate(state, test, key), draw(state, key)))


def show_result(
    experiment: Experiment, run_dir: Path, panels: dict[str, list[str]]
) -> dict[str, Any]:
    """Draws the curves, prints the table of a population, and returns the last record."""
    records = runs.read_metrics(run_dir)
    pictures.curves(run_dir / "curves.png", records, panels, settings(experiment.config))
    if experiment.is_population:
        table = members_table(records[-1], experiment.config, experiment.best)
        Console(highlight=False).print(table)
    return records[-1]


def picture_places(experiment: Experiment, run_dir: Path) -> list[Path]:
    """Where the pictures go: a directory for each member."""
    if not experiment.is_population:
        return [run_dir]
    return [runs.member_path(run_dir, member) for member in range(len(experiment.members))]


def _open(experiment: Experiment, progress: Progress) -> Path:
    run_dir = launch.open_run(experiment.config.run, experiment.name)
    progress.console.print(f"run directory: {run_dir}")
    return run_dir


def _begin(
    experiment: Experiment, run_dir: Path, manager: ocp.CheckpointManager, state: State
) -> State:
    num_steps = experiment.config.run.epochs * experiment.epoch_shape.num_steps
    layout = experiment.layout
    where = {"strategy": layout.strategy, "mesh": dict(layout.mesh.shape)}
    mode = "stream" if experiment.sets.is_streamed else "memory"
    details = {**experiment.details, **where, "data_mode": mode}
    return launch.begin(run_dir, experiment.config, manager, state, num_steps, **details)


def _keep(
    experiment: Experiment,
    run_dir: Path,
    manager: ocp.CheckpointManager,
    epoch: Epoch,
    look: Callable[[State], tuple[Values, Drawn]],
    progress: Progress,
) -> None:
    test, drawn = look(epoch.state)
    record = record_of(epoch, test, experiment.best, experiment.mode)
    summary = record["summary"][experiment.best]["mean"] if experiment.is_population else None
    score = record[experiment.best] if summary is None else summary
    checkpoint.save(manager, epoch.step, epoch.state, {experiment.best: score})
    if not launch.is_writer():
        return
    runs.append_metrics(run_dir, record)
    progress.console.print(f"epoch {epoch.number:3d}  {experiment.tell(record)}")
    for member, place in enumerate(picture_places(experiment, run_dir)):
        own, of_member = drawn, record
        if experiment.is_population:
            own = jax.tree.map(lambda array, member=member: array[member], drawn)
            of_member = member_record(record, member)
        runs.samples_path(place, 0).parent.mkdir(parents=True, exist_ok=True)
        experiment.save_pictures(place, epoch.number, own)
        if trouble := experiment.warn(own, of_member):
            who = f" member {member}" if experiment.is_population else ""
            progress.console.print(f"[yellow]collapsed{who}:[/] {trouble}")


def _keys(seed: Array) -> loop.RunKeys:
    return loop.split_run_key(jax.random.key(seed))


def _seeds(experiment: Experiment) -> Any:
    return _stack(experiment, [np.uint32(member.run.seed) for member in experiment.members])


def _stack(experiment: Experiment, values: list[Any]) -> Any:
    if not experiment.is_population:
        return values[0]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *values)
