"""Recipes by name: the built-in ones, and those that other packages register.

A package registers a recipe through an entry point of the group `jaxgen.recipes`, whose name is
that of the recipe and whose value is `module:RECIPE`.
"""

import importlib
from importlib.metadata import EntryPoint, entry_points

from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Recipe

GROUP = "jaxgen.recipes"
BUILT_IN = ("vae", "cgan")


def names() -> list[str]:
    """Return the names of all known recipes."""
    return list(_entry_points())


def find(name: str) -> Recipe:
    """Load a recipe by name. Raises InputError if there is none, or if it cannot be imported."""
    found = _entry_points().get(name)
    if found is None:
        raise InputError(
            f"There is no recipe {name!r}, only {', '.join(names())}: give the module of another "
            "one with --recipe MODULE."
        )
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The recipe {name} cannot be loaded from {found.value} ({error}): reinstall the "
            "package that registers it."
        ) from None


def from_module(module: str) -> Recipe:
    """Load the `RECIPE` of a module. Raises InputError if there is none."""
    try:
        recipe = importlib.import_module(module).RECIPE
    except ModuleNotFoundError as error:
        raise InputError(f"--recipe {module}: {error}.") from None
    except AttributeError:
        raise InputError(f"--recipe {module}: the module has no RECIPE.") from None
    if not isinstance(recipe, Recipe):
        raise InputError(f"--recipe {module}: its RECIPE is not a jaxgen.Recipe.")
    return recipe


def _entry_points() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, f"jaxgen.recipes.{name}:RECIPE", GROUP) for name in BUILT_IN}
    return {point.name: point for point in entry_points(group=GROUP)} | built_in
