"""`jaxgen train`, and the same command line for the scripts in `experiments`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from jaxgen import console
from jaxgen.commands.arguments import from_module
from jaxgen.commands.report import write_report
from jaxgen.errors import InputError
from jaxgen.recipes import registry
from jaxgen.recipes.recipe import ConfigT, Recipe
from jaxgen.runner import hosts
from jaxgen.runner.command_line import defaults, parse
from jaxgen.runner.evaluation_options import EvaluationOptions
from jaxgen.runner.options import DataOptions, TrainingOptions
from jaxgen.runs import directory
from jaxgen.runs.config_file import read_config


def main(
    recipe: Recipe[ConfigT],
    config: ConfigT | None = None,
    *,
    program: str | None = None,
    args: Sequence[str] | None = None,
    data: DataOptions = DataOptions(),
    training: TrainingOptions = TrainingOptions(),
) -> None:
    """Train with these settings, which the options on the command line override.

    `config` holds the options of the recipe, `data` and `training` those that all recipes share.
    """
    from jaxgen.runner.train import train  # imports Orbax, which would slow down --help

    program = program or f"python -m experiments.{Path(sys.argv[0]).stem}"
    with console.report_errors():
        options = parse(
            recipe, defaults(recipe, config, data=data, training=training), program, args
        )
        run_dir = train(recipe, options)
        if options.output.report:
            report_training(recipe, run_dir)


def report_training(recipe: Recipe, run_dir: Path) -> None:
    """Write the report of a run that has ended, which no failure here can undo.

    On several hosts, the writer makes it alone, after the others have left.
    """
    screen, path = console.make_console(), directory.report_path(run_dir)
    try:
        if not hosts.leave():
            return
        write_report(run_dir, recipe, path, EvaluationOptions(), console.make_console(quiet=True))
        screen.print(f"report: {path}")
    except (Exception, KeyboardInterrupt) as error:
        screen.print(f"no report: {type(error).__name__}: {error}", style="yellow")


def train_command(args: Sequence[str]) -> None:
    """Run `jaxgen train` with a recipe's name, --recipe MODULE or --resume RUN_DIR."""
    if list(args) in ([], ["-h"], ["--help"]):
        print(USAGE.format("\n".join(f"  jaxgen train {name}" for name in registry.names())))
        return
    with console.report_errors():
        recipe, args = choose_recipe(args)
    main(recipe, program=f"jaxgen train {recipe.name}", args=args)


def choose_recipe(args: Sequence[str]) -> tuple[Recipe, list[str]]:
    """Find the recipe that the arguments name; also return the other arguments."""
    args = list(args)
    if "--recipe" in args[:-1]:
        at = args.index("--recipe")
        return from_module(args[at + 1]), args[:at] + args[at + 2 :]
    if not args[0].startswith("-"):
        return registry.find(args[0]), args[1:]
    if "--resume" in args[:-1]:
        run_dir = Path(args[args.index("--resume") + 1])
        return registry.find(str(read_config(run_dir)["recipe"])), args
    raise InputError(f"Name a recipe first: {', '.join(registry.names())}, or --recipe MODULE.")


USAGE = """Train a recipe; add --help to any of these for its options:

{}
  jaxgen train --recipe MODULE     a module with a RECIPE of your own
  jaxgen train --resume RUN_DIR    the recipe of the run"""
