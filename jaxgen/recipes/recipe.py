"""A recipe: the options, training algorithm, evaluation and pictures of a model family's runs."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxgen.errors import require_positive
from jaxgen.runs.records import Record
from jaxgen.torch_layers import Entry, StateDict
from jaxgen.types import Batch, HypersT, Learner, Metrics, Mode, StateT

ConfigT = TypeVar("ConfigT")
Drawn = Mapping[str, np.ndarray]  # the result of `draw`, on the host


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about a run's data that suffice to build its model without the data."""

    dataset: str
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    class_names: tuple[str, ...]
    num_images: int
    """Number of training images."""
    fingerprint: str
    """Hash of the images, labels and class names."""
    steps_per_epoch: int
    num_epochs: int
    """Number of epochs planned at the start, at which schedules end."""
    binarization_noise: float = 0.0
    """The share of the variance of randomly binarized pixels that is due to binarization."""

    def __post_init__(self) -> None:
        require_positive(
            image_shape=self.image_shape,
            num_classes=self.num_classes,
            num_images=self.num_images,
            steps_per_epoch=self.steps_per_epoch,
            num_epochs=self.num_epochs,
        )

    @property
    def num_classes(self) -> int:
        """The number of classes; labels are 0 to num_classes - 1."""
        return len(self.class_names)


@dataclasses.dataclass(frozen=True)
class Task(Generic[StateT, HypersT]):
    """The functions of one run: a recipe built for a configuration and the facts about its data."""

    learner: Learner[StateT, HypersT]
    evaluate: Callable[[StateT, Batch, PyTree, Key[Array, ""]], Metrics]
    """Metrics on the test set, given the result of `prepare_evaluation`. Must be pure."""
    draw: Callable[[StateT, Batch, Key[Array, ""]], dict[str, Array]]
    """Arrays for the pictures, given the test set. Must be pure."""
    save_pictures: Callable[[Path, int, Drawn], None]
    """Write the pictures of an epoch to a directory."""
    describe: Callable[[Record], str]
    """The line that is printed after an epoch."""
    warn: Callable[[Record, Drawn], str] = lambda record, drawn: ""
    """A warning about the training; an empty string if there is none."""
    notice: str = ""
    """What to tell the user before the run starts; an empty string if there is nothing."""
    settings: Mapping[str, object] | None = None
    """The options that have an effect, with those filled in that the configuration leaves open;
    None: the configuration."""
    prepare_evaluation: Callable[[Batch, Batch], PyTree] | None = None
    """A tree of dicts and arrays for `evaluate`, from the training and test sets on the host."""
    evaluation_key: str = ""
    """What this tree is, and all that it depends on besides the data; by default the recipe's name.
    Runs with the same data and key share it."""


class Budget(NamedTuple):
    """The default length of training: whichever limit is reached first."""

    num_epochs: int
    num_images: int
    """Training images seen, if they have 32 x 32 pixels; fewer of larger ones."""

    def epochs(self, num_images: int, image_shape: tuple[int, int, int]) -> int:
        """Return the number of epochs, at least 1, over `num_images` images of this shape."""
        height, width, _ = image_shape
        affordable = self.num_images * 32 * 32 // (height * width)
        return max(1, min(self.num_epochs, affordable // num_images))


@dataclasses.dataclass(frozen=True)
class Networks(Generic[StateT]):
    """Access to the variables of a state's networks, by name."""

    get: Callable[[StateT], dict[str, PyTree]]
    """The variables of each network in a state."""
    put: Callable[[StateT, Mapping[str, PyTree]], StateT]
    """The state with these variables, and everything else unchanged."""


@dataclasses.dataclass(frozen=True)
class TorchNames(Generic[ConfigT]):
    """The names of a family's parameters in PyTorch files."""

    entries: Callable[[ConfigT, Facts], dict[str, list[Entry]]]
    """The entries of each network that a configuration has."""
    split: Callable[[StateDict], dict[str, StateDict]]
    """The state dict of each network in a file; raises InputError if one is missing."""
    options: Callable[[Mapping[str, StateDict]], dict[str, object]]
    """The options that follow from the shapes of each network's weights."""


@dataclasses.dataclass(frozen=True)
class Recipe(Generic[ConfigT]):
    """The static description of a model family's runs."""

    name: str
    config: type[ConfigT]
    """A frozen dataclass; its docstrings are the help texts of the command and of its options."""
    build: Callable[[ConfigT, Facts], Task]
    """The functions of a run. Raises InputError if the configuration does not fit the data."""
    hypers: Callable[[ConfigT], PyTree]
    """The hyperparameters, which may differ between the members of a population."""
    sweepable: tuple[str, ...]
    """The options that `hypers` depends on."""
    best: str
    """The metric that selects the best checkpoint, as named in metrics.jsonl."""
    mode: Mode
    headline: Callable[[Record], str]
    """The result of a run in one line, from its last record."""
    panels: Mapping[str, tuple[str, ...]]
    """Titles of the curves, and the metrics in each."""
    progress: tuple[str, ...]
    """The training metrics that are shown during an epoch."""
    budget: Budget
    networks: Networks | None = None
    """Needed to start a run from weights, and to export them."""
    torch_names: TorchNames[ConfigT] | None = None
    """Needed for PyTorch files."""


def format_metric(record: Record, name: str, spec: str, sign: int = 1) -> str:
    """Format a metric for the screen; for a population, as mean ± standard deviation."""
    if "summary" not in record:
        return f"{sign * record[name]:{spec}}"
    summary = record["summary"][name]
    return f"{sign * summary['mean']:{spec}} ± {summary['std']:{spec}}"
