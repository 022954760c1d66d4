"""Start a run from the weights of another run, or of a PyTorch file."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from jaxgen.errors import InputError
from jaxgen.interop import files, torch
from jaxgen.recipes.recipe import Facts, Recipe, TorchNames
from jaxgen.runner import recorded
from jaxgen.runner.options import Options
from jaxgen.torch_layers import StateDict
from jaxgen.types import CheckpointChoice


class Weights(NamedTuple):
    """The variables of each network of a recipe."""

    networks: dict[str, PyTree]
    notice: str = ""


def implied_options(recipe: Recipe, default: Options, source: Path) -> Options:
    """Update `default` by the configuration and data of a run, or the sizes in a file."""
    if source.is_dir():
        run = recorded.read(source, recipe)
        return dataclasses.replace(default, config=run.options.config, data=run.options.data)
    torch_names = _torch_names(recipe)
    networks = _read_file(recipe, source)[0]
    config = dataclasses.replace(default.config, **torch_names.options(networks))
    return dataclasses.replace(default, config=config)


def load_weights(
    recipe: Recipe,
    options: Options,
    facts: Facts,
    like: dict[str, PyTree],
    source: Path,
    checkpoint: CheckpointChoice,
) -> Weights:
    """Load the variables of the networks, whose shapes are those of `like`.

    Raises InputError if the source cannot be read, or if its weights do not fit the options.
    """
    from jaxgen.runner.load import load_run  # imports Orbax, which would slow down --help

    if not source.is_dir():
        networks, notice = _read_file(recipe, source)
        entries = _torch_names(recipe).entries(options.config, facts)
        return Weights(
            {
                name: torch.from_torch(entries[name], state_dict, like[name])
                for name, state_dict in networks.items()
                if name in like
            },
            notice,
        )
    if recipe.networks is None:
        raise InputError(
            f"The recipe {recipe.name} cannot start from weights: define its networks."
        )
    run = load_run(source, checkpoint, recipe)
    if run.num_members is not None:
        raise InputError(f"{source} is a population: use `jaxgen extract` on one member first.")
    networks = recipe.networks.get(run.state)
    for name in like.keys() & networks.keys():
        ours, theirs = (
            {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(x)}
            for x in (like[name], networks[name])
        )
        if differing := sorted(
            k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)
        ):
            k = differing[0]
            raise InputError(
                f"The weights of {source} do not fit these options: {name}{k} has shape "
                f"{theirs.get(k)} there, {ours.get(k)} here. Use the options of that run."
            )
    return Weights({name: networks[name] for name in like.keys() & networks.keys()})


def _torch_names(recipe: Recipe) -> TorchNames:
    if recipe.torch_names is None or recipe.networks is None:
        raise InputError(
            f"The recipe {recipe.name} cannot read PyTorch weights: define its torch_names."
        )
    return recipe.torch_names


def _read_file(recipe: Recipe, path: Path) -> tuple[dict[str, StateDict], str]:
    """Read the state dict of each network in a file; also return a notice for the user."""
    weights = files.load(path)
    return _torch_names(recipe).split(weights.arrays), weights.notice
