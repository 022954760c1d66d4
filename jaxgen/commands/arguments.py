"""Arguments of the commands that open a run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from jaxgen.recipes import registry
from jaxgen.types import CheckpointChoice

if TYPE_CHECKING:
    from jaxgen.runner.load import Run

RunDir = Annotated[Path, tyro.conf.Positional]
RecipeModule = str | None


def load(run_dir: Path, checkpoint: CheckpointChoice, module: str | None) -> "Run":
    """Open a run of a registered recipe, or of the `RECIPE` in a module."""
    from jaxgen.runner.load import load_run  # imports Orbax, which would slow down --help

    return load_run(run_dir, checkpoint, None if module is None else from_module(module))


def from_module(module: str) -> registry.Recipe:
    """Load the `RECIPE` of a module, which may be in the working directory."""
    sys.path.insert(0, "")
    return registry.from_module(module)
