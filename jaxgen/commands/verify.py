"""`jaxgen verify`: check the files of a run."""

import sys
from collections.abc import Callable

from jaxgen.commands.arguments import RecipeModule, RunDir, from_module
from jaxgen.errors import InputError


def verify(run_dir: RunDir, recipe: RecipeModule = None) -> None:
    """Check the records and all checkpoints of a run, and whether it can be resumed.

    Exits with code 1 if a file is damaged. Changes nothing.

    Args:
        run_dir: Directory of the run.
        recipe: Module with the recipe of the run, if it is neither built in nor registered.
    """
    from jaxgen.runner import recorded, saved
    from jaxgen.runner.notices import notices
    from jaxgen.runner.sweep import num_members
    from jaxgen.runs import directory, environment, records
    from jaxgen.training import checkpoint

    own_recipe = None if recipe is None else from_module(recipe)
    run = recorded.read(run_dir, own_recipe)
    checks: list[tuple[str, Callable[[], object]]] = [
        ("environment.json", lambda: environment.read_starts(run_dir)),
        ("metrics.jsonl", lambda: records.read_metrics(run_dir)),
    ]
    if directory.result_path(run_dir).exists():
        checks.append(("result.json", lambda: records.read_result(run_dir)))
    if directory.evaluation_path(run_dir).exists():
        checks.append(("evaluation.json", lambda: records.read_evaluation(run_dir)))
    problems = [problem for name, check in checks if (problem := _try(name, check))]
    path = directory.checkpoints_path(run_dir)
    for step in checkpoint.steps(path):
        reason = checkpoint.damage(path, step)
        print(f"checkpoint of step {step}: {reason or 'intact'}")
        if reason:
            problems.append(reason)
    try:
        step, damaged = checkpoint.find_step(path, "latest", run.recipe.mode)
        last = saved.read(path, step, num_members(run.options))
        lines = records.merge(records.read_metrics(run_dir), last.lines)
        if directory.environment_path(run_dir).exists():
            environment.read_starts(run_dir)
        for notice in notices(run_dir, step, damaged, lines, run.facts.steps_per_epoch):
            print(notice)
            problems.append(notice)
        print(f"the run can be resumed from step {step}")
    except InputError as error:
        print(f"the run cannot be resumed: {error}")
        problems.append(str(error))
    sys.exit(1 if problems else 0)


def _try(name: str, check: Callable[[], object]) -> str:
    """Print and return the problem with a file; an empty string if there is none."""
    try:
        check()
    except InputError as error:
        print(f"{name}: {error}")
        return str(error)
    print(f"{name}: intact")
    return ""
