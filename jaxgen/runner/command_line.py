"""Parse the command line into the options of a run."""

import dataclasses
from collections.abc import Sequence

import tyro

from jaxgen.recipes.recipe import ConfigT, Recipe
from jaxgen.runner import recorded, weights
from jaxgen.runner.options import DataOptions, Options, TrainingOptions
from jaxgen.runner.sweep import sweep_type


def defaults(
    recipe: Recipe[ConfigT],
    config: ConfigT | None = None,
    *,
    data: DataOptions = DataOptions(),
    training: TrainingOptions = TrainingOptions(),
) -> Options:
    """Return the default options of a recipe, with the given configuration and sections."""
    sweep = sweep_type(recipe.config, recipe.sweepable)()
    config = recipe.config() if config is None else config
    return Options(config, sweep, data=data, training=training)


def parse(
    recipe: Recipe, default: Options, program: str, args: Sequence[str] | None = None
) -> Options:
    """Parse the command line, with `default` for options that it does not set.

    With --resume, or --init-from and a run, the recorded options are the defaults; with a PyTorch
    file, the sizes of its networks are. Raises InputError if a run cannot be resumed with these
    options, and exits with code 2 if an option is invalid.
    """

    def command_line(default: Options) -> Options:
        return tyro.cli(
            Options[recipe.config, sweep_type(recipe.config, recipe.sweepable)],
            prog=program,
            description=recipe.config.__doc__,
            default=default,
            args=args,
        )

    options = command_line(default)
    output = options.output
    if output.resume is not None:
        run = recorded.read(output.resume, recipe)
        options = command_line(
            dataclasses.replace(run.options, output=default.output, hardware=default.hardware)
        )
        recorded.check_resumable(output.resume, run.options, options)
    elif output.init_from is not None:
        options = command_line(weights.implied_options(recipe, default, output.init_from))
    return options
