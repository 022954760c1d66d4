"""A data set that was found: reading its splits, its labels, and its test set."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Int32

from jaxgen.data import cache
from jaxgen.data.examples import (
    Arrays,
    Examples,
    Indices,
    Report,
    gather,
    identify,
    read_chunks,
    silent,
)
from jaxgen.data.split import held_out
from jaxgen.errors import InputError
from jaxgen.types import Batch


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that is ready to be read."""

    name: str
    class_names: tuple[str, ...]
    """In the order of the labels in its files; not all of these classes need to occur."""
    splits: Mapping[str, Callable[[], Examples]]
    """The splits of its files; without a test split, a part of the training images is held out."""
    place: cache.Place | None = None
    """Where its arrays are cached; None: only in memory."""
    num_files: int | None = None
    """Of images in a folder; fewer images are read if some are broken."""
    notice: str = ""
    kept: dict[str, Arrays] = dataclasses.field(default_factory=dict)
    """The splits that have been read and could not be cached."""


def read(source: Source, split: str, mapped: bool = False, report: Report = silent) -> Batch:
    """Read a split, with labels from 0 to k - 1 for the k classes that occur in training.

    Raises InputError if there is no such split, if it is empty, or if it has a class that training
    lacks.
    """
    image, label = _read(source, split, mapped, report)
    occurring = _occurring(source, report)
    if len(unknown := np.setdiff1d(label, occurring)):
        names = ", ".join(_name(source, number) for number in unknown.tolist())
        raise InputError(
            f"{source.name} has {np.isin(label, unknown).sum()} image(s) of the class {names} to "
            f"{split}, but none to train on: add some, or remove those."
        )
    position = np.searchsorted(occurring, label).astype(np.int32)
    return Batch(image, position)  # pyright: ignore[reportArgumentType]  (NumPy arrays on the host)


def class_names(source: Source, report: Report = silent) -> tuple[str, ...]:
    """Return the names of the classes that occur in training, in the order of their labels."""
    return tuple(_name(source, number) for number in _occurring(source, report).tolist())


def holds_out(source: Source) -> bool:
    """Tell whether the set has no test split, so that a part of it is held out."""
    return "test" not in source.splits


def _occurring(source: Source, report: Report) -> Int32[np.ndarray, "k"]:
    return np.unique(_read(source, "train", True, report)[1])


def _name(source: Source, number: int) -> str:
    in_range = 0 <= number < len(source.class_names)
    return source.class_names[number] if in_range else str(number)


def _read(source: Source, split: str, mapped: bool, report: Report) -> Arrays:
    """Read a split with the labels of the files, from the cache if it is there."""
    available = {"test", *source.splits} if "train" in source.splits else {*source.splits}
    if split not in available:
        raise InputError(
            f"{source.name} has no split {split!r}, only {' and '.join(source.splits)}."
        )
    arrays = source.kept.get(split)
    if arrays is None and source.place is not None:
        arrays = cache.read(source.place, split, mapped)
    if arrays is None:
        arrays = _fill(source, split, mapped, report)
    if len(arrays[1]) == 0:
        raise InputError(f"{source.name} has no image to {split}: give at least two that differ.")
    return arrays


def _fill(source: Source, split: str, mapped: bool, report: Report) -> Arrays:
    """Read a split from its files, and cache it if possible; otherwise keep it."""
    selected = _select(source, split, report)
    if source.place is not None:
        for part, (examples, indices) in selected.items():
            cache.write(source.place, part, read_chunks(examples, indices, report))
        if (arrays := cache.read(source.place, split, mapped)) is not None:
            return arrays
    for part, (examples, indices) in selected.items():
        source.kept[part] = gather(examples, indices, report)
    return source.kept[split]


def _select(source: Source, split: str, report: Report) -> dict[str, tuple[Examples, Indices]]:
    """Select the examples of a split, or of both if one of them is held out of the other."""
    if split in source.splits and not (split == "train" and holds_out(source)):
        examples = source.splits[split]()
        return {split: (examples, np.arange(examples.num))}
    examples = source.splits["train"]()
    is_test = held_out(*identify(examples, report))
    parts = {"train": ~is_test, "test": is_test}
    return {part: (examples, np.flatnonzero(mask)) for part, mask in parts.items()}
