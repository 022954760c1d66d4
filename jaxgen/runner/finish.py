"""The end of a run: its result, curves, animation, histogram and score."""

from pathlib import Path

import numpy as np
from rich.console import Console

from jaxgen.pictures import grids
from jaxgen.recipes.recipe import Recipe
from jaxgen.runner import epochs
from jaxgen.runner.setup import Setup
from jaxgen.runner.sweep import settings
from jaxgen.runner.tables import members_table
from jaxgen.runs import directory, records, tensorboard
from jaxgen.training.population import NUM_SHOWN


def finish(setup: Setup, run_dir: Path, console: Console) -> None:
    """Write the result and the pictures of the whole run, and print its score."""
    from jaxgen.pictures import curves  # imports matplotlib, which would slow down --help

    recipe, options = setup.recipe, setup.options
    history = records.read_metrics(run_dir)
    last = history[-1]
    groups = settings(options) if setup.is_population else {}
    best_epoch = epochs.best_epoch(history, recipe.best, recipe.mode)
    curves.curves(run_dir / "curves.png", history, recipe.panels, groups, best_epoch)
    places, num_members = [run_dir], setup.layout.num_members
    if num_members is not None:
        places = [directory.member_path(run_dir, m) for m in directory.drawn_members(run_dir)]
    for place in places:
        pictures = (directory.samples_path(place, record["epoch"]) for record in history)
        grids.animate(place / "training.gif", [path for path in pictures if path.exists()])
    if num_members is not None and num_members > NUM_SHOWN:
        scores = np.array(last[recipe.best], float)
        curves.histogram(directory.histogram_path(run_dir), scores, score_label(recipe))
    if options.output.tensorboard:
        values = {**(setup.task.settings or vars(options.config)), **vars(options.training)}
        tensorboard.add_hyperparameters(run_dir, values, last)
    records.write_result(run_dir)  # last, since it marks a finished run
    if setup.is_population:
        console.print(members_table(last, options, recipe.best, recipe.mode))
    console.print(f"samples, curves and training.gif: {run_dir}")
    console.print(f"{recipe.headline(last)} after {last['epoch']} epochs on {setup.data.name}")


def score_label(recipe: Recipe) -> str:
    """Name the metric that selects the best checkpoint as the panels of the recipe do."""
    titles = (title for title, keys in recipe.panels.items() if recipe.best in keys)
    split, _, name = recipe.best.rpartition("/")
    return f"{split} {next(titles, name)}".strip()
