"""The console script `jaxgen`: what one does with finished runs."""

import tyro

from experiments.convert import convert
from experiments.member import member
from jaxgen import console


def main() -> None:
    """Runs the subcommand that the command line names."""
    with console.errors_in_plain_words():
        commands = {"convert": convert, "member": member}
        tyro.extras.subcommand_cli_from_dict(commands, prog="jaxgen")
