"""`jaxgen export`: write the weights of a run to a file for PyTorch."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxgen.commands.arguments import RecipeModule, RunDir, load
from jaxgen.errors import InputError
from jaxgen.types import CheckpointChoice


def export(
    run_dir: RunDir,
    file: Annotated[Path, tyro.conf.Positional],
    checkpoint: CheckpointChoice = "latest",
    recipe: RecipeModule = None,
) -> None:
    """Write the weights of a run to a file with the parameter names of the course's classes.

    Several networks are written to one file, with prefixes such as `generator.`. To start a run
    from such a file, train with --init-from.

    Args:
        run_dir: Directory of the run.
        file: A new .pt, .pth, .ckpt or .safetensors file.
        checkpoint: Checkpoint to export: latest, best of the saved ones, or a step.
        recipe: Module with the recipe of the run, if it is neither built in nor registered.
    """
    from jaxgen.interop import files, torch

    if file.exists():
        raise InputError(f"{file} already exists: choose another name.")
    run = load(run_dir, checkpoint, recipe)
    names, networks = run.recipe.torch_names, run.recipe.networks
    if names is None or networks is None:
        raise InputError(
            f"The recipe {run.recipe.name} cannot export PyTorch weights: define its torch_names."
        )
    if run.num_members is not None:
        raise InputError(f"{run_dir} is a population: use `jaxgen extract` on one member first.")
    variables = networks.get(run.state)
    arrays = {
        name: torch.to_numpy(entries, variables[name])
        for name, entries in names.entries(run.options.config, run.facts).items()
    }
    if len(arrays) == 1:
        (state_dict,) = arrays.values()
    else:
        state_dict = {f"{net}.{name}": a for net in arrays for name, a in arrays[net].items()}
    files.save(file, state_dict)
    print(f"weights after {run.step} steps: {file}")
