"""Train a recipe: from its options to a run directory."""

import contextlib
import signal
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import PyTree
from rich.console import Console
from rich.progress import Progress

from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Recipe
from jaxgen.runner import epochs, hosts
from jaxgen.runner.drawing import draw_epoch
from jaxgen.runner.epochs import Diverged, Totals
from jaxgen.runner.finish import finish
from jaxgen.runner.options import Options
from jaxgen.runner.outcome import Saver
from jaxgen.runner.pace import choose_pace, describe
from jaxgen.runner.progress import Reporter, progress_bar
from jaxgen.runner.setup import Setup, prepare
from jaxgen.runner.signals import StopRequest, stop_requests
from jaxgen.runner.start import (
    Training,
    choose_directory,
    create_directory,
    resident_data,
    start_training,
)
from jaxgen.runs import caches, lock, records, tensorboard
from jaxgen.training import checkpoint, loop
from jaxgen.training.population import NUM_SHOWN


def train(recipe: Recipe, options: Options) -> Path:
    """Start or resume a run, train it to its last epoch, and return its directory.

    Raises InputError if options cannot be fulfilled, where possible before the run directory is
    created, and if training diverges for all members. A signal to stop saves the state and raises
    SystemExit with code 128 + the signal.
    """
    if options.output.tensorboard:
        tensorboard.require()
    hosts.join(options.hardware)
    if options.hardware.compilation_cache:
        caches.keep_compiled_programs()
    run_dir = choose_directory(options.output, recipe.name)
    screen = console.make_console(quiet=not hosts.is_writer())
    with contextlib.ExitStack() as stack:
        if options.output.resume is not None:
            stack.enter_context(hold(run_dir))
        setup = prepare(recipe, options, screen)
        training = start_training(setup, run_dir, screen)
        create_directory(setup, run_dir, training.start, screen)
        if options.output.resume is None:
            stack.enter_context(hold(run_dir))
        request = stack.enter_context(stop_requests())
        progress = stack.enter_context(progress_bar(screen))
        train_epochs(setup, training, run_dir, progress, request)
        progress.stop()
        if hosts.is_writer():
            finish(setup, run_dir, screen)
    return run_dir


def train_epochs(
    setup: Setup, training: Training, run_dir: Path, progress: Progress, request: StopRequest
) -> None:
    """Train to the last epoch, or until a signal asks to stop."""
    screen, layout, shape = progress.console, setup.layout, setup.shape
    keys, train_chunk, (evaluate, draw), (state, (_, totals)) = training
    num_epochs = setup.options.training.epochs
    assert num_epochs is not None
    diverged = epochs.diverged_before(loop.steps(state, layout), records.read_metrics(run_dir))
    size = checkpoint.num_bytes(state)
    pace = choose_pace(setup.options.output.save_every, size, is_population=setup.is_population)
    if notice := describe(pace, size):
        screen.print(notice)
    writes_events = setup.options.output.tensorboard and hosts.is_writer()
    with (
        tensorboard.opened(run_dir) if writes_events else contextlib.nullcontext() as events,
        contextlib.ExitStack() as closing,
    ):
        saver = Saver(setup, run_dir, closing, screen, pace, events)

        def end_epoch(
            state: PyTree, epoch: int, step: int, totals: Totals, diverged: Diverged
        ) -> None:
            test, recipe = evaluate(state), setup.recipe
            record = epochs.make_record(
                epoch, step, totals, test, diverged, recipe.best, recipe.mode
            )
            saver.add_epoch(record)
            is_last = epoch == num_epochs
            draw_epoch(setup, run_dir, record, partial(draw, state), screen, is_last=is_last)

        starts_from_weights = setup.options.output.init_from is not None
        if loop.num_updates(state) == 0 and (starts_from_weights or num_epochs == 0):
            end_epoch(state, 0, 0, Totals(), {})
            saver.save(state, 0, Totals())
        reporter = Reporter(progress, shape, num_epochs)
        for chunk in loop.fit(
            train_chunk,
            state,
            resident_data(setup),
            keys,
            shape=shape,
            num_epochs=num_epochs,
            layout=layout,
            num_classes=setup.task.learner.num_classes,
        ):
            saver.finish()  # written while the device was busy
            diverged = check_divergence(chunk, diverged, screen)
            totals = totals.add(chunk)
            reporter.show(chunk, setup.recipe.progress, frozenset(diverged))
            epoch = chunk.epoch + 1
            if chunk.ends_epoch:
                end_epoch(chunk.state, epoch, chunk.step, totals, diverged)
                totals = Totals()
            is_last = chunk.ends_epoch and epoch == num_epochs
            number, must_save = hosts.agree(
                request.number, is_last or saver.is_due(ends_epoch=chunk.ends_epoch)
            )
            if number or must_save:
                saver.save(chunk.state, chunk.step, totals)
            if number:
                saver.finish()
                screen.print(
                    f"stopped by {signal.Signals(number).name} after step {chunk.step}: "
                    f"continue with --resume {run_dir}"
                )
                raise SystemExit(128 + number)


def hold(run_dir: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the lock of a run; in a distributed run, only the writer holds it."""
    return lock.hold(run_dir) if hosts.is_writer() else contextlib.nullcontext()


def check_divergence(chunk: loop.Chunk, diverged: Diverged, screen: Console) -> Diverged:
    """Report the members that a chunk has frozen. Raises InputError if none is left."""
    num_members = np.atleast_1d(chunk.first_not_finite).size
    new = epochs.newly_diverged(chunk, diverged)
    for number, (member, (step, names)) in enumerate(new.items()):
        diverged = diverged | {member: step}
        what = f"{', '.join(names)} not finite at step {step}"
        if len(diverged) == num_members:
            raise InputError(f"{what}. {epochs.DIVERGED}")
        if number < NUM_SHOWN:
            screen.print(f"member {member} is frozen: {what}; the others continue", style="yellow")
    if len(new) > NUM_SHOWN:
        screen.print(f"{len(new) - NUM_SHOWN} more members are frozen", style="yellow")
    return diverged
