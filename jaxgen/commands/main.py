"""The console script `jaxgen`."""

import sys

import tyro

from jaxgen import console
from jaxgen.commands.export import export
from jaxgen.commands.extract import extract
from jaxgen.commands.train import train_command


def train() -> None:
    """Train a recipe; `jaxgen train --help` lists them."""


def main() -> None:
    """Run the subcommand that the command line names."""
    if sys.argv[1:2] == ["train"]:
        train_command(sys.argv[2:])
        return
    with console.report_errors():
        commands = {"train": train, "extract": extract, "export": export}
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="jaxgen", description="Train generative models, and work with the runs."
        )
