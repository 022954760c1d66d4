"""`jaxgen extract`: turn a member of a population into a run of its own."""

import shutil
from pathlib import Path
from typing import Annotated

import tyro

from jaxgen.commands.arguments import RecipeModule, RunDir, load
from jaxgen.runner import epochs, recorded, saved
from jaxgen.runner.epochs import score
from jaxgen.runner.saved import Saved
from jaxgen.runs import directory, environment, records
from jaxgen.types import CheckpointChoice


def extract(
    run_dir: RunDir,
    index: Annotated[int, tyro.conf.Positional],
    new_dir: Annotated[Path, tyro.conf.Positional],
    checkpoint: CheckpointChoice = "latest",
    recipe: RecipeModule = None,
) -> None:
    """Extract one member of a population as a run of its own.

    The new run has the member's options, records, pictures and state, and can be resumed and
    exported like any other run.

    Args:
        run_dir: Directory of the population.
        index: Number of the member, from 0.
        new_dir: Directory of the new run, which must not exist yet.
        checkpoint: Checkpoint to extract: latest, best of the saved ones, or a step. The best has
            the best mean over the members.
        recipe: Module with the recipe of the run, if it is neither built in nor registered.
    """
    from jaxgen.pictures import curves
    from jaxgen.training.checkpoint import commit, open_checkpointer, save

    population = load(run_dir, checkpoint, recipe)
    run = population.member(index)
    directory.create(new_dir, overwrite=False)
    pictures = directory.member_path(run_dir, index)
    if pictures.is_dir():
        shutil.copytree(pictures, new_dir, dirs_exist_ok=True)
    shutil.copy(directory.environment_path(run_dir), directory.environment_path(new_dir))
    recorded.write(new_dir, run.recipe, run.options, run.facts)
    environment.record_start(new_dir, member=index)
    records.append_metrics(new_dir, run.metrics)
    best = run.recipe.best
    metric = score(run.metrics[-1], best) if run.metrics else float("nan")
    checkpoints = directory.checkpoints_path(run_dir)
    totals = saved.read(checkpoints, run.step, population.num_members).totals
    extra = Saved(totals=totals.member(index)).to_json()
    path = directory.checkpoints_path(new_dir)
    with open_checkpointer() as checkpointer:
        save(checkpointer, path, run.step, run.state)
        commit(checkpointer, path, run.step, metric, run.recipe.mode, extra)
    if run.metrics:
        records.write_result(new_dir)
        best_epoch = epochs.best_epoch(run.metrics, best, run.recipe.mode)
        path = new_dir / "curves.png"
        curves.curves(path, run.metrics, run.recipe.panels, best_epoch=best_epoch)
    print(f"member {index} as a run of its own, after {run.step} steps: {new_dir}")
