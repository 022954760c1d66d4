"""Train a recipe: from its options to a run directory."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree
from rich.console import Console
from rich.progress import Progress

from jaxgen import console
from jaxgen.convolution import default_implementation
from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Drawn, Recipe
from jaxgen.runner import epochs, hosts, recorded
from jaxgen.runner.check_fits import check_fits
from jaxgen.runner.epochs import Diverged, Totals, Values
from jaxgen.runner.finish import finish
from jaxgen.runner.options import Options, OutputOptions
from jaxgen.runner.progress import Reporter, progress_bar
from jaxgen.runner.setup import Setup, prepare
from jaxgen.runner.state import initial_state, initial_weights, run_keys
from jaxgen.runs import caches, directory, environment, records
from jaxgen.training import checkpoint, loop
from jaxgen.training.sharding import put
from jaxgen.training.streaming import stream

Evaluator = Callable[[PyTree], tuple[Values, Drawn]]


def train(recipe: Recipe, options: Options) -> Path:
    """Start or resume a run, train it to its last epoch, and return its directory.

    Raises InputError for what cannot be done, before the run directory is created if possible, and
    if training diverges: in a population, all members.
    """
    hosts.join(options.hardware)
    if options.hardware.compilation_cache:
        caches.keep_compiled_programs()
    run_dir = choose_directory(options.output, recipe.name)
    screen = console.make_console(quiet=not hosts.is_writer())
    setup = prepare(recipe, options, screen)
    with progress_bar(screen) as progress:
        _train(setup, run_dir, progress)
    if hosts.is_writer():
        finish(setup, run_dir, screen)
    return run_dir


def _train(setup: Setup, run_dir: Path, progress: Progress) -> None:
    screen, recipe, layout, shape = progress.console, setup.recipe, setup.layout, setup.shape
    num_epochs = setup.options.training.epochs
    assert num_epochs is not None
    keys = run_keys(setup, layout.members)
    train_chunk = loop.trainer(setup.task.learner.step, layout)
    weights = initial_weights(setup)
    if weights is not None and weights.notice:
        screen.print(weights.notice)
    like = jax.eval_shape(lambda: initial_state(setup))
    if notice := check_fits(train_chunk, like, setup, keys.step):
        screen.print(notice)
    evaluate = make_evaluator(setup, keys)
    state = initial_state(setup, None if weights is None else weights.networks)

    create_directory(setup.options.output, run_dir)
    screen.print(f"run directory: {run_dir}")
    if (planned := setup.facts.num_epochs) < num_epochs:
        screen.print(
            f"beyond the {planned} epochs planned at the start, schedules stay at their last value"
        )
    with checkpoint.open_manager(
        directory.checkpoints_path(run_dir), recipe.best, recipe.mode
    ) as manager:
        is_new = manager.latest_step() is None
        if not is_new:
            step = checkpoint.find_step(manager, "latest")
            state = checkpoint.restore(manager, step, state)
        start = loop.num_updates(state)
        if not is_new and start >= num_epochs * shape.num_steps:
            raise InputError(f"{run_dir} is finished: ask for more --epochs to continue it.")
        if hosts.is_writer():
            record_start(setup, run_dir, start)
        diverged = epochs.diverged_before(loop.steps(state, layout), records.read_metrics(run_dir))
        if is_new and (weights is not None or num_epochs == 0):
            outcome = evaluate(state)
            keep(setup, run_dir, manager, state, (0, 0), Totals(), outcome, diverged, screen)

        data = setup.data.train
        if setup.data.is_streamed:
            data = stream(data, run_keys(setup).order, shape, layout)
        else:
            data = put(data, layout.shared)
        reporter = Reporter(progress, shape, num_epochs)
        totals = Totals()
        for chunk in loop.fit(
            train_chunk, state, data, keys, shape=shape, num_epochs=num_epochs, layout=layout
        ):
            diverged = check_divergence(chunk, diverged, screen)
            totals = totals.add(chunk)
            reporter.show(chunk, recipe.progress, frozenset(diverged))
            if chunk.ends_epoch:
                outcome = evaluate(chunk.state)
                at = chunk.epoch + 1, chunk.step
                keep(setup, run_dir, manager, chunk.state, at, totals, outcome, diverged, screen)
                totals = Totals()


def choose_directory(options: OutputOptions, name: str) -> Path:
    """The directory of the run to resume, or of a new run. Raises InputError if it is taken."""
    if options.resume is not None:
        return options.resume
    run_dir = options.run_dir or directory.next_free(Path("runs"), name)
    directory.check_free(run_dir, overwrite=options.overwrite)
    hosts.wait_for_all("run directory is free")
    return run_dir


def create_directory(options: OutputOptions, run_dir: Path) -> None:
    """Create the directory of a new run, once for all processes."""
    if options.resume is None and hosts.is_writer():
        directory.create(run_dir, overwrite=options.overwrite)
    hosts.wait_for_all("run directory exists")


def record_start(setup: Setup, run_dir: Path, step: int) -> None:
    """Write what this start of the run is, and drop the metrics of later steps."""
    records.truncate_metrics(run_dir, step)
    recorded.write(run_dir, setup.recipe, setup.options, setup.facts)
    environment.record_start(
        run_dir,
        convolution=default_implementation(),
        strategy=setup.layout.strategy,
        mesh=dict(setup.layout.mesh.shape),
        data_mode="stream" if setup.data.is_streamed else "memory",
    )


def make_evaluator(setup: Setup, keys: loop.RunKeys) -> Evaluator:
    """Compile the evaluation and the drawing of a state; both return to the host."""
    layout, task, data = setup.layout, setup.task, setup.data
    aux = None
    if task.prepare_evaluation is not None:
        prepare = task.prepare_evaluation
        key = f"{setup.recipe.name} {setup.facts.fingerprint} {task.evaluation_key}"
        aux = caches.load_or_compute(
            caches.path_for("evaluation", key), lambda: prepare(data.train, data.test)
        )
    test, aux = put((data.test, aux), layout.shared)
    evaluate = jax.jit(layout.lift(task.evaluate, (0, None, None, 0)), out_shardings=layout.shared)
    draw = jax.jit(layout.lift(task.draw, (0, None, 0)), out_shardings=layout.shared)
    return lambda state: jax.device_get(
        (evaluate(state, test, aux, keys.evaluate), draw(state, test, keys.draw))
    )


def check_divergence(chunk: loop.Chunk, diverged: Diverged, screen: Console) -> Diverged:
    """Name the members that a chunk has frozen. Raises InputError if none is left."""
    num_members = np.atleast_1d(chunk.first_not_finite).size
    for member, (step, names) in epochs.newly_diverged(chunk, diverged).items():
        diverged = diverged | {member: step}
        what = f"{', '.join(names)} not finite at step {step}"
        if len(diverged) == num_members:
            raise InputError(f"{what}. {epochs.DIVERGED}")
        screen.print(f"member {member} is frozen: {what}; the others continue", style="yellow")
    return diverged


def keep(
    setup: Setup,
    run_dir: Path,
    manager: checkpoint.ocp.CheckpointManager,
    state: PyTree,
    position: tuple[int, int],
    totals: Totals,
    outcome: tuple[Values, Drawn],
    diverged: Diverged,
    screen: Console,
) -> None:
    """Save the state after an epoch, its record and its pictures; `position` is (epoch, step)."""
    recipe, (epoch, step), (test, drawn) = setup.recipe, position, outcome
    record = epochs.make_record(epoch, step, totals, test, diverged, recipe.best, recipe.mode)
    checkpoint.save(manager, step, state, {recipe.best: epochs.score(record, recipe.best)})
    if not hosts.is_writer():
        return
    records.append_metrics(run_dir, record)
    screen.print(f"epoch {epoch:3d}  {setup.task.describe(record)}")
    for member, place in enumerate(
        directory.picture_directories(run_dir, setup.layout.num_members)
    ):
        own_drawn, own_record, who = drawn, record, ""
        if setup.is_population:
            own_drawn = jax.tree.map(lambda array, member=member: array[member], drawn)
            own_record = epochs.member_record(record, member)
            who = f"member {member}: "
        directory.samples_path(place, epoch).parent.mkdir(parents=True, exist_ok=True)
        setup.task.save_pictures(place, epoch, own_drawn)
        if trouble := setup.task.warn(own_record, own_drawn):
            screen.print(f"collapsed: {who}{trouble}", style="yellow")
