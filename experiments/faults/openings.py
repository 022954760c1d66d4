"""Open a run or a cache of which one file is altered, and judge what comes out."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from experiments.faults.alterations import WAYS, Way, altered
from jaxgen.errors import InputError

Outcome = Literal[
    "refused",  # by an error that names the file
    "earlier checkpoint",  # with a notice
    "incomplete",  # with a notice
    "rebuilt",
    "unaffected",
    "lost",
    "changed",
]


class Target(NamedTuple):
    """Files of one kind, and how they are opened."""

    name: str
    paths: list[Path]
    open: Callable[[Path], tuple[Outcome, str]]
    """Opens what an altered file belongs to; returns the outcome and, if it is bad, the reason."""


class Trial(NamedTuple):
    """What came of an altered file."""

    target: str
    way: Way
    outcome: Outcome
    detail: str = ""


def attempt(target: Target, rng: np.random.Generator) -> Trial:
    """Alter one of the files, open it, and restore it."""
    path, way = target.paths[rng.integers(len(target.paths))], WAYS[rng.integers(len(WAYS))]
    with altered(path, way, rng), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = set(path.parent.iterdir())
        try:
            outcome, detail = target.open(path)
        except InputError as error:
            outcome, detail = judge_refusal(path, str(error))
        except Exception as error:  # a traceback, which no user should see
            outcome, detail = "lost", f"{type(error).__name__}: {error}"
        if deleted := before - set(path.parent.iterdir()):
            outcome, detail = "lost", f"deleted {sorted(deleted)}"
    is_named = any(str(path) in str(warning.message) for warning in caught)
    if outcome in ("earlier checkpoint", "incomplete") and not is_named:
        outcome, detail = "changed", f"{outcome} without a notice"
    return Trial(target.name, way, outcome, f"{path} {way}: {detail}" if detail else "")


def judge_refusal(path: Path, message: str) -> tuple[Outcome, str]:
    """Accept an error that names the altered file or its directory."""
    if path.name in message or str(path.parent) in message:
        return "refused", ""
    return "lost", f"an error that does not name it: {message}"
