"""An experiment as a value: what is trained, and how the result is looked at.

What surrounds that (run directory, epochs, checkpoints, records) is the same for all of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import orbax.checkpoint as ocp
from jaxtyping import Array
from rich.progress import Progress

from experiments import launch
from jaxgen import runs
from jaxgen.training import checkpoint, loop
from jaxgen.types import Learner, State


class Experiment(NamedTuple):
    """A configured experiment on loaded data."""

    name: str
    config: Any
    sets: launch.DataSets
    learner: Learner
    hypers: Any
    best: str  # the metric that the kept checkpoint is best by
    mode: Literal["min", "max"]
    evaluate: Callable[[State], Mapping[str, Array]]  # test metrics
    show: Callable[[Path, launch.Epoch, Mapping[str, Any]], None]  # pictures and words, from
    # the run directory, an epoch and its record
    details: Mapping[str, Any]  # for environment.json

    @property
    def keys(self) -> loop.RunKeys:
        """All randomness of the run."""
        return loop.split_run_key(jax.random.key(self.config.run.seed))

    @property
    def epoch_shape(self) -> loop.EpochShape:
        """How an epoch is cut into chunks, steps and batches."""
        return loop.epoch_shape(len(self.sets.train.label), self.config.run.batch_size)


def initial_state(experiment: Experiment) -> State:
    """The state before the first update."""
    return jax.jit(experiment.learner.init)(experiment.keys.init, experiment.hypers)


def open_manager(experiment: Experiment, run_dir: Path) -> ocp.CheckpointManager:
    """The checkpoints of a run; see `checkpoint.open_manager`."""
    path = runs.checkpoints_path(run_dir)
    return checkpoint.open_manager(path, experiment.best, experiment.mode)


def train(experiment: Experiment, progress: Progress) -> Path:
    """Trains to the last epoch, from the start or from where the run to resume has come.

    Returns the run directory. Raises InputError if a metric becomes NaN or infinite.
    """
    state = initial_state(experiment)
    run_dir = _open(experiment, progress)
    with open_manager(experiment, run_dir) as manager:
        state = _begin(experiment, run_dir, manager, state)
        for epoch in launch.epochs(
            progress,
            experiment.learner.step,
            state,
            experiment.sets.train,
            experiment.keys,
            experiment.epoch_shape,
            experiment.config.run.epochs,
        ):
            _keep(experiment, run_dir, manager, epoch)
    runs.write_result(run_dir)
    return run_dir


def adopt(experiment: Experiment, state: State, progress: Progress) -> Path:
    """A run directory that begins with `state`, looked at as if it came out of an epoch 0."""
    run_dir = _open(experiment, progress)
    with open_manager(experiment, run_dir) as manager:
        _begin(experiment, run_dir, manager, state)
        _keep(experiment, run_dir, manager, launch.Epoch(state, 0, int(state.step), 0.0, {}))
    return run_dir


def _open(experiment: Experiment, progress: Progress) -> Path:
    run_dir = launch.open_run(experiment.config.run, experiment.name)
    progress.console.print(f"run directory: {run_dir}")
    return run_dir


def _begin(
    experiment: Experiment, run_dir: Path, manager: ocp.CheckpointManager, state: State
) -> State:
    num_steps = experiment.config.run.epochs * experiment.epoch_shape.num_steps
    config, details = experiment.config, experiment.details
    return launch.begin(run_dir, config, manager, state, num_steps, **details)


def _keep(
    experiment: Experiment, run_dir: Path, manager: ocp.CheckpointManager, epoch: launch.Epoch
) -> None:
    record = launch.keep(run_dir, manager, epoch, experiment.evaluate(epoch.state))
    experiment.show(run_dir, epoch, record)
