"""From the command line to the options of a run."""

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
    """The default options of a recipe, except for a configuration and the given sections."""
    sweep = sweep_type(recipe.config, recipe.sweepable)()
    config = recipe.config() if config is None else config
    return Options(config, sweep, data=data, training=training)


def parse(
    recipe: Recipe, default: Options, program: str, args: Sequence[str] | None = None
) -> Options:
    """The options that the command line asks for, on top of `default`.

    With --resume, or with --init-from and a run, the defaults are those that the run recorded; the
    weights in a PyTorch file imply the sizes of its networks. Raises InputError if a run cannot be
    resumed as asked, and exits with code 2 for options that are not valid.
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
