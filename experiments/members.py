"""What the members of a population are: ordinary configurations that differ in a few numbers."""

import dataclasses
import itertools
from typing import Any


def members(config: Any) -> list[Any]:
    """The configuration of each: all values of the sweep crossed, and for each cross all seeds."""
    sweep = dataclasses.asdict(config.sweep)
    axes = {name: values for name, values in sweep.items() if values}
    plain = dataclasses.replace(config, sweep=type(config.sweep)())
    return [
        dataclasses.replace(
            plain,
            **dict(zip(axes, cross, strict=True)),
            run=dataclasses.replace(config.run, seed=config.run.seed + i, num_seeds=1),
        )
        for cross in itertools.product(*axes.values())
        for i in range(config.run.num_seeds)
    ]


def differences(config: Any) -> list[dict[str, Any]]:
    """What tells the settings of the sweep apart: of each member, its values there."""
    swept = [name for name, values in dataclasses.asdict(config.sweep).items() if values]
    return [{name: getattr(member, name) for name in swept} for member in members(config)]


def settings(config: Any) -> dict[str, list[int]]:
    """The members of each setting of the sweep, which differ by their seed alone."""
    groups: dict[str, list[int]] = {}
    for member, own in enumerate(differences(config)):
        name = ", ".join(f"{name} {value:g}" for name, value in own.items())
        groups.setdefault(name, []).append(member)
    return groups
