"""A recipe says what a run of a model family is: its options, what it reports, what it draws."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxgen.runs.records import Record
from jaxgen.torch_layers import Entry, StateDict
from jaxgen.types import Batch, HypersT, Learner, Metrics, Mode, StateT

ConfigT = TypeVar("ConfigT")
Drawn = Mapping[str, np.ndarray]  # what `draw` returns, on the host


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a run knows about its data: enough to build its model without them."""

    dataset: str
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    class_names: tuple[str, ...]
    num_images: int
    """In the training set."""
    fingerprint: str
    steps_per_epoch: int
    num_epochs: int
    """Planned at the start, which is where schedules end."""

    @property
    def num_classes(self) -> int:
        """Labels are 0 to num_classes - 1."""
        return len(self.class_names)


@dataclasses.dataclass(frozen=True)
class Task(Generic[StateT, HypersT]):
    """A recipe built for a configuration and the facts about the data; functions of one run."""

    learner: Learner[StateT, HypersT]
    evaluate: Callable[[StateT, Batch, PyTree, Key[Array, ""]], Metrics]
    """Metrics on the test set, with what `prepare_evaluation` returned. Pure."""
    draw: Callable[[StateT, Batch, Key[Array, ""]], dict[str, Array]]
    """Arrays for the pictures, from the test set. Pure."""
    save_pictures: Callable[[Path, int, Drawn], None]
    """Write the pictures after an epoch into a directory."""
    describe: Callable[[Record], str]
    """An epoch's line on the screen."""
    warn: Callable[[Record, Drawn], str] = lambda record, drawn: ""
    """What has gone wrong in training; an empty string if nothing has."""
    prepare_evaluation: Callable[[Batch, Batch], PyTree] | None = None
    """A tree of dicts and arrays that `evaluate` needs, from training and test set on the host."""
    evaluation_key: str = ""
    """Whatever else that tree depends on: runs with the same data and key share it in a cache."""


class Budget(NamedTuple):
    """How long to train by default: whichever ends first."""

    num_epochs: int
    num_images: int
    """Training images seen."""


@dataclasses.dataclass(frozen=True)
class Networks(Generic[StateT]):
    """Access to the variables of a state's networks, by name."""

    get: Callable[[StateT], dict[str, PyTree]]
    """The variables of each network in a state."""
    put: Callable[[StateT, Mapping[str, PyTree]], StateT]
    """The state with these variables, all else unchanged."""


@dataclasses.dataclass(frozen=True)
class TorchNames(Generic[ConfigT]):
    """The parameters of a family's networks in PyTorch files."""

    entries: Callable[[ConfigT, Facts], dict[str, list[Entry]]]
    """The entries of each network that a configuration has."""
    split: Callable[[StateDict], dict[str, StateDict]]
    """The state dict of each network in a file; raises InputError if one is missing."""
    options: Callable[[Mapping[str, StateDict]], dict[str, object]]
    """The options that follow from the shapes of each network's weights."""


@dataclasses.dataclass(frozen=True)
class Recipe(Generic[ConfigT]):
    """A kind of run."""

    name: str
    config: type[ConfigT]
    """A frozen dataclass, whose docstring describes the command, and each field's an option."""
    build: Callable[[ConfigT, Facts], Task]
    """Raises InputError for a configuration that does not fit the data."""
    hypers: Callable[[ConfigT], PyTree]
    """What may differ between the members of a population."""
    sweepable: tuple[str, ...]
    """The options that `hypers` depends on."""
    best: str
    """The metric that the best checkpoint is best by, as in metrics.jsonl."""
    mode: Mode
    headline: Callable[[Record], str]
    """What a run has reached, from its last record."""
    panels: Mapping[str, tuple[str, ...]]
    """Titles of the curves, and the metrics in each."""
    progress: tuple[str, ...]
    """The training metrics on the screen while an epoch lasts."""
    budget: Budget
    networks: Networks | None = None
    """Needed to start a run from weights, and to export them."""
    torch_names: TorchNames[ConfigT] | None = None
    """Needed for PyTorch files."""


def format_metric(record: Record, name: str, spec: str, sign: int = 1) -> str:
    """A metric for the screen; of a population, mean ± standard deviation."""
    if "summary" not in record:
        return f"{sign * record[name]:{spec}}"
    summary = record["summary"][name]
    return f"{sign * summary['mean']:{spec}} ± {summary['std']:{spec}}"
