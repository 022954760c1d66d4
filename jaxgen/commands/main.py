"""The console script `jaxgen`."""

import sys

import tyro

from jaxgen import console
from jaxgen.commands.evaluate import evaluate
from jaxgen.commands.export import export
from jaxgen.commands.extract import extract
from jaxgen.commands.report import report
from jaxgen.commands.sample import sample
from jaxgen.commands.shapes import shapes
from jaxgen.commands.train import train_command
from jaxgen.commands.verify import verify


def train() -> None:
    """Train a recipe; `jaxgen train --help` lists all recipes."""
    # Only the help text is used: `main` handles this command, whose options depend on the recipe.


def main() -> None:
    """Run the subcommand given on the command line."""
    if sys.argv[1:2] == ["train"]:
        train_command(sys.argv[2:])
        return
    with console.report_errors():
        commands = {
            "train": train,
            "sample": sample,
            "evaluate": evaluate,
            "report": report,
            "extract": extract,
            "export": export,
            "shapes": shapes,
            "verify": verify,
        }
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="jaxgen", description="Train generative models, and use their runs."
        )
