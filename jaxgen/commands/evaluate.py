"""`jaxgen evaluate`: estimate the likelihood of a run's model, and judge its samples."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import UInt8

from jaxgen import console
from jaxgen.commands.arguments import RecipeModule, RunDir, load
from jaxgen.runner.evaluation_options import EvaluationOptions, LikelihoodOptions, SampleOptions
from jaxgen.runs import directory, records
from jaxgen.types import CheckpointChoice

NUM_COLUMNS = 8


def evaluate(
    run_dir: RunDir,
    checkpoint: CheckpointChoice = "latest",
    recipe: RecipeModule = None,
    general: tyro.conf.OmitArgPrefixes[EvaluationOptions] = EvaluationOptions(),
    likelihood: tyro.conf.OmitArgPrefixes[LikelihoodOptions] = LikelihoodOptions(),
    samples: tyro.conf.OmitArgPrefixes[SampleOptions] = SampleOptions(),
) -> None:
    """Evaluate the likelihood of test images and the quality of samples, whichever the model has.

    Needs the data set of the run. Writes evaluation.json, evaluation.png and neighbors.png to the
    run directory, also while the run is in training. Of a population, up to 16 members are
    evaluated (--num-members).

    Args:
        run_dir: Directory of the run.
        checkpoint: Checkpoint to evaluate: latest, best of the saved ones, or a step.
        recipe: Module with the recipe of the run, if it is neither built in nor registered.
        general: What is evaluated.
        likelihood: The estimates of the likelihood.
        samples: The comparison of samples with real images.
    """
    from jaxgen.runner import evaluation, evaluation_tables
    from jaxgen.runs.caches import keep_compiled_programs

    keep_compiled_programs()
    screen = console.make_console()
    run = load(run_dir, checkpoint, recipe)
    screen.print(f"evaluating {run_dir} after {run.step} steps")
    result = evaluation.evaluate(run, general, likelihood, samples, screen)
    record = {
        "checkpoint": checkpoint,
        "options": _settings(general, likelihood, samples),
        **result.results,
    }
    records.write_evaluation(run_dir, record)
    places = [run_dir]
    if run.num_members is not None:
        places = [directory.member_path(run_dir, member) for member in record["evaluated_members"]]
    pictures = _draw(run_dir, record, dict(zip(places, result.pairs, strict=False)))
    for name, table in (
        ("likelihood", evaluation_tables.likelihood_table),
        ("samples", evaluation_tables.sample_table),
    ):
        if name in record:
            screen.print(table(record))
    screen.print(f"evaluation.json{pictures}: {run_dir}")


def _settings(*sections: Any) -> dict[str, object]:
    """Join the options, without the paths on this machine."""
    return {
        name: value
        for section in sections
        for name, value in dataclasses.asdict(section).items()
        if not name.endswith("_dir")
    }


def _draw(
    run_dir: Path,
    record: dict[str, Any],
    pairs: Mapping[Path, UInt8[np.ndarray, "n h w c"]],
) -> str:
    """Write the pictures, and return their names as they are listed on screen."""
    from jaxgen.pictures import evaluation, grids

    names = ""
    if evaluation.evaluation(run_dir / "evaluation.png", record):
        names += ", evaluation.png"
    for place, images in pairs.items():
        place.mkdir(parents=True, exist_ok=True)
        grids.save(place / "neighbors.png", grids.grid(images / 255, NUM_COLUMNS))
    return names + ", neighbors.png" * bool(pairs)
