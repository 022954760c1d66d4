"""The members of a population: options of single runs that differ in seeds and swept values."""

import dataclasses
import functools
import itertools
from typing import Annotated, Any, get_type_hints

import tyro

from jaxgen.runner.options import Options


@functools.cache
def sweep_type(config: type, sweepable: tuple[str, ...]) -> type:
    """Create a dataclass that has a tuple of values for each sweepable option."""
    hints = get_type_hints(config)

    def field(name: str) -> tuple[str, Any, Any]:
        text = f"Values of --{name.replace('_', '-')} to sweep over."
        return name, Annotated[tuple[hints[name], ...], tyro.conf.arg(help=text)], ()

    return dataclasses.make_dataclass(
        "Sweep",
        map(field, sweepable),
        frozen=True,
        namespace={
            "__doc__": "Train a population with a member for each combination of these values."
        },
    )


def members(options: Options) -> list[Options]:
    """List the options of each member: all combinations of the sweep, each with all seeds.

    Raises InputError for values that the configuration rejects.
    """
    axes = _axes(options)
    training = options.training
    return [
        dataclasses.replace(
            options,
            config=dataclasses.replace(options.config, **dict(zip(axes, values, strict=True))),
            sweep=type(options.sweep)(),
            training=dataclasses.replace(training, seed=training.seed + i, num_seeds=1),
        )
        for values in itertools.product(*axes.values())
        for i in range(training.num_seeds)
    ]


def num_members(options: Options) -> int | None:
    """Return the size of a population; None for a single run."""
    num = len(members(options))
    return num if num > 1 else None


def differences(options: Options) -> list[dict[str, float]]:
    """List the swept values of each member."""
    names = _axes(options)
    return [{name: getattr(m.config, name) for name in names} for m in members(options)]


def settings(options: Options) -> dict[str, list[int]]:
    """Group the members by setting of the sweep; within a group only seeds differ."""
    groups: dict[str, list[int]] = {}
    for member, values in enumerate(differences(options)):
        name = ", ".join(f"{name} {value:g}" for name, value in values.items())
        groups.setdefault(name, []).append(member)
    return groups


def _axes(options: Options) -> dict[str, tuple[Any, ...]]:
    return {name: values for name, values in vars(options.sweep).items() if values}
