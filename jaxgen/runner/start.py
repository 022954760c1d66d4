"""The start of a run: its directory, compiled programs and initial state."""

from pathlib import Path
from typing import NamedTuple

from jaxtyping import PyTree
from rich.console import Console

from jaxgen.convolution import default_implementation
from jaxgen.errors import InputError
from jaxgen.runner import hosts, recorded, saved
from jaxgen.runner.after_epoch import AfterEpoch, make_after_epoch
from jaxgen.runner.check_fits import check_fits
from jaxgen.runner.drawing import make_directories
from jaxgen.runner.notices import notices
from jaxgen.runner.options import OutputOptions
from jaxgen.runner.saved import Saved
from jaxgen.runner.setup import Setup
from jaxgen.runner.state import initial_state, initial_weights, run_keys
from jaxgen.runs import directory, environment, records
from jaxgen.training import checkpoint, loop
from jaxgen.training.sharding import put
from jaxgen.training.streaming import stream
from jaxgen.types import Batch


class Training(NamedTuple):
    """A run's compiled programs, and the position at which it starts."""

    keys: loop.RunKeys
    train_chunk: loop.Trainer
    after_epoch: AfterEpoch
    start: "Position"


class Position(NamedTuple):
    """The position at which a run starts: that of a new run, or that of a checkpoint."""

    state: PyTree
    saved: Saved = Saved()
    """What the checkpoint records beside the state."""


def start_training(setup: Setup, run_dir: Path, screen: Console) -> Training:
    """Compile the programs of a run, and restore or initialize its state.

    Raises InputError if the run exceeds its devices, cannot be resumed, or is finished.
    """
    keys = run_keys(setup, setup.layout.members)
    train_chunk = loop.trainer(setup.task.learner.step, setup.layout)
    weights = initial_weights(setup)
    if weights is not None and weights.notice:
        screen.print(weights.notice)
    initial = initial_state(setup, None if weights is None else weights.networks)
    if notice := check_fits(train_chunk, initial.shapes, setup, keys.step):
        screen.print(notice)
    start = starting_position(setup, run_dir, initial.create(), screen)
    return Training(keys, train_chunk, make_after_epoch(setup, keys), start)


def starting_position(setup: Setup, run_dir: Path, state: PyTree, screen: Console) -> Position:
    """Restore the latest state of the run to resume; a new run starts at `state`.

    Raises InputError if the run cannot be resumed, or is finished.
    """
    path = directory.checkpoints_path(run_dir)
    if setup.options.output.resume is None:
        return Position(state)
    if not checkpoint.steps(path) and not records.read_metrics(run_dir):
        return Position(state)  # it stopped before its first checkpoint
    step, damaged = checkpoint.find_step(path, "latest", setup.recipe.mode)
    last = saved.read(path, step, setup.layout.num_members)
    lines = records.merge(records.read_metrics(run_dir), last.lines)
    for notice in notices(run_dir, step, damaged, lines, setup.shape.num_steps):
        screen.print(notice, style="yellow")
    state = checkpoint.restore(path, step, state)
    num_epochs = setup.options.training.epochs or 0
    missing = num_epochs * setup.shape.num_steps - loop.num_updates(state)
    if missing < 0 or (missing == 0 and directory.result_path(run_dir).exists()):
        raise InputError(f"{run_dir} is finished: ask for more --epochs to continue it.")
    if (planned := setup.facts.num_epochs) < num_epochs:
        screen.print(
            f"After the {planned} epochs planned at the start, schedules keep their last value."
        )
    return Position(state, last)


def choose_directory(options: OutputOptions, name: str) -> Path:
    """Choose the directory of a resumed or a new run. Raises InputError if it is taken."""
    if options.resume is not None:
        return options.resume
    run_dir = options.run_dir or directory.next_free(Path("runs"), name)
    directory.check_free(run_dir, overwrite=options.overwrite)
    hosts.wait_for_all("run directory is free")
    return run_dir


def create_directory(setup: Setup, run_dir: Path, start: Position, screen: Console) -> None:
    """Create a new run's directory, or bring that of a resumed run to its position."""
    screen.print(f"run directory: {run_dir}")
    output = setup.options.output
    num_updates = loop.num_updates(start.state)  # on all hosts, which may share the members
    if hosts.is_writer():
        if output.resume is None:
            directory.create(run_dir, overwrite=output.overwrite)
        elif directory.environment_path(run_dir).exists():
            environment.read_starts(run_dir)  # which may refuse, before anything is changed
        recorded.write(run_dir, setup.recipe, setup.options, setup.facts)
        make_directories(setup, run_dir)
        directory.result_path(run_dir).unlink(missing_ok=True)  # it marks a finished run
        records.reset_metrics(run_dir, num_updates, start.saved.lines)
        environment.record_start(
            run_dir,
            convolution=default_implementation(),
            strategy=setup.layout.strategy,
            mesh=dict(setup.layout.mesh.shape),
            data_mode="stream" if setup.data.is_streamed else "memory",
        )
    hosts.wait_for_all("run directory exists")


def resident_data(setup: Setup) -> Batch | loop.Stream:
    """Put the training images on the devices, or stream them."""
    layout, train = setup.layout, setup.data.train
    if setup.data.is_streamed:
        return stream(train, run_keys(setup).order, setup.shape, layout)
    return put(train, layout.shared)
