"""The options and facts that a run records in its config.json."""

from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import InputError
from jaxgen.recipes import registry
from jaxgen.recipes.recipe import Facts, Recipe
from jaxgen.runner.options import DataOptions, Options, TrainingOptions
from jaxgen.runner.sweep import sweep_type
from jaxgen.runs import config_file


class Recorded(NamedTuple):
    """The contents of config.json."""

    recipe: Recipe
    options: Options  # output and hardware are not recorded, and have their defaults
    facts: Facts


def write(run_dir: Path, recipe: Recipe, options: Options, facts: Facts) -> None:
    """Record everything that determines the results of a run."""
    sections = {
        "config": options.config,
        "sweep": options.sweep,
        "data": options.data,
        "training": options.training,
        "facts": facts,
    }
    config_file.write_config(run_dir, recipe.name, sections)


def read(run_dir: Path, recipe: Recipe | None = None) -> Recorded:
    """Read the recipe, options and facts of a run.

    Without `recipe`, it is found by its recorded name. Raises InputError if the directory is not a
    run, or is a run of another recipe.
    """
    record = config_file.read_config(run_dir)
    name = record.get("recipe")
    if recipe is None:
        recipe = registry.find(str(name))
    if recipe.name != name:
        raise InputError(f"{run_dir} is a run of the recipe {name!r}, not of {recipe.name!r}.")
    kinds = {
        "config": recipe.config,
        "sweep": sweep_type(recipe.config, recipe.sweepable),
        "data": DataOptions,
        "training": TrainingOptions,
    }
    sections = {
        name: config_file.section(run_dir, record, name, kind) for name, kind in kinds.items()
    }
    facts = config_file.section(run_dir, record, "facts", Facts)
    return Recorded(recipe, Options(**sections), facts)


def check_resumable(run_dir: Path, recorded: Options, options: Options) -> None:
    """Raise InputError if options that determine the results differ from the recorded ones."""

    def fixed(options: Options) -> dict[str, object]:
        free = {"epochs", "data_dir", "manual_dir"}
        if Path(recorded.data.dataset or "").is_absolute():
            free.add("dataset")  # it may have moved; the fingerprint tells other contents
        sweep = {f"sweep.{name}": values for name, values in vars(options.sweep).items()}
        sections = (options.config, options.data, options.training)
        own = {name: value for section in sections for name, value in vars(section).items()}
        return {name: value for name, value in (own | sweep).items() if name not in free}

    there, here = fixed(recorded), fixed(options)
    differing = [
        f"{name} ({there[name]} there, {here[name]} here)"
        for name in there
        if there[name] != here[name]
    ]
    if differing:
        raise InputError(
            f"{run_dir} was started with another {', '.join(differing)}: omit that to continue the "
            f"run, or start a new one from its weights with --init-from {run_dir}."
        )
