"""Images and labels as arrays in memory, or in files: .npz, .npy and IDX."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from jaxgen.batch import make_batch
from jaxgen.data import idx
from jaxgen.data.examples import UNLABELED, Arrays, Examples, Indices
from jaxgen.data.resize import Preparation, prepare_arrays
from jaxgen.data.split import digest
from jaxgen.errors import InputError

SUFFIXES = (".npz", ".npy")
IMAGE_NAMES = ("image", "images", "x", "data", "arr_0")
LABEL_NAMES = ("label", "labels", "y", "target", "targets", "arr_1")
TEST_NAMES = ("test", "val", "valid", "validation")  # the first that is there
# The errors of NumPy and zipfile for damaged files, and for headers that promise too much.
UNREADABLE = (
    *(OSError, EOFError, LookupError, MemoryError, RuntimeError, ValueError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)

Array = Shaped[np.ndarray, "..."]


class Split(NamedTuple):
    """Images, which are loaded when they are needed, and their labels or None."""

    image: Callable[[], Array]
    label: Array | None


class ArrayFiles(NamedTuple):
    """The contents of one or more files."""

    files: tuple[Path, ...]
    splits: Mapping[str, Split]
    class_names: tuple[str, ...] | None
    """In the order of the labels, if they are given."""


def examples(
    image: UInt8[np.ndarray, "n h w c"], label: Int32[np.ndarray, "n"], preparation: Preparation
) -> Examples:
    """Return examples that are in memory."""

    def read(indices: Indices) -> Arrays:
        images = list(image[indices])
        return prepare_arrays(images, preparation, preparation.resize), label[indices]

    def identify(indices: Indices) -> tuple[list[bytes], Int32[np.ndarray, "m"]]:
        return [digest(image[i].tobytes()) for i in indices], label[indices]

    return Examples(len(label), read, identify)


def open_files(path: Path) -> ArrayFiles:
    """Open a file of arrays, and those that belong to it by their names.

    Raises InputError if it has another format, or no images under a known name.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _open_npz(path)
    if suffix == ".npy":
        return ArrayFiles((path,), {"train": Split(partial(_load, path), None)}, None)
    if idx.is_idx(path):
        return _open_idx(path)
    raise InputError(
        f"{path} is no data set: give a folder of images, or an .npz, .npy or IDX file."
    )


def class_labels(
    contents: ArrayFiles,
) -> tuple[tuple[str, ...], dict[str, Int32[np.ndarray, "n"] | None]]:
    """Return the names of the classes, and the labels of each split as positions among them.

    Raises InputError for labels that are neither integers nor text.
    """
    labels = {split: part.label for split, part in contents.splits.items()}
    given = {split: _column(label) for split, label in labels.items() if label is not None}
    if len(given) < len(labels):
        return UNLABELED, dict.fromkeys(labels)
    for label in given.values():
        if label.ndim != 1 or label.dtype.kind not in "iuU":
            line = "label.argmax(axis=1)" if label.ndim == 2 else 'label.astype("int32")'
            raise InputError(
                f"The labels in {contents.files[0]} must be integers or text, but are "
                f"{label.dtype} of the shape {list(label.shape)}: convert them first, "
                f"{'one-hot labels ' if label.ndim == 2 else ''}with `{line}`."
            )
    values = np.unique(np.concatenate(list(given.values())))
    if values.dtype.kind == "i" and values.min(initial=0) < 0:
        raise InputError(
            f"{contents.files[0]} has labels of {values.min()}: give the classes labels from 0, or "
            "text, and remove images without a class."
        )
    names = contents.class_names
    if names is None or values.dtype.kind == "U":
        names = tuple(map(str, values))
    else:
        if not 0 <= values.min() <= values.max() < len(names):
            raise InputError(
                f"{contents.files[0]} names {len(names)} classes, but has labels from "
                f"{values.min()} to {values.max()}: name all of them."
            )
        names = tuple(names[value] for value in values)
    return names, {
        split: np.searchsorted(values, label).astype(np.int32) for split, label in given.items()
    }


def load_split(
    contents: ArrayFiles, split: str, label: Int32[np.ndarray, "n"] | None, preparation: Preparation
) -> Examples:
    """Load the images of a split. Raises InputError if they are not uint8 images."""
    image = contents.splits[split].image()
    try:
        batch = make_batch(image, label)
    except InputError as error:
        raise InputError(f"{contents.files[0]}: {error}") from None
    return examples(np.asarray(batch.image), np.asarray(batch.label), preparation)


def _open_npz(path: Path) -> ArrayFiles:
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            names = {name.lower(): name for name in file.files}
    except UNREADABLE as error:
        raise _unreadable(path, error) from error

    def find(wanted: tuple[str, ...], split: str) -> str | None:
        forms = [f"{split}_{name}" for name in wanted] + [f"{name}_{split}" for name in wanted]
        forms = forms if split else list(wanted)
        return next((names[form] for form in forms if form in names), None)

    def open_split(*prefixes: str) -> Split | None:
        for prefix in prefixes:
            image, label = find(IMAGE_NAMES, prefix), find(LABEL_NAMES, prefix)
            if image is not None:
                labels = None if label is None else _load(path, label)
                return Split(partial(_load, path, image), labels)
        return None

    train, test = open_split("train", ""), open_split(*TEST_NAMES)
    if train is None:
        raise InputError(
            f"{path} has the arrays {', '.join(names) or 'of nothing'}, and none is called like "
            "images: use image and label, or x_train, y_train, x_test and y_test."
        )
    splits = {"train": train} if test is None else {"train": train, "test": test}
    named = "class_names" in names
    class_names = tuple(map(str, _load(path, names["class_names"]))) if named else None
    return ArrayFiles((path,), splits, class_names)


def _open_idx(images: Path) -> ArrayFiles:
    files, splits = [], {}
    for split, path in {"train": images, "test": idx.test_of(images)}.items():
        if path is not None:
            label = idx.labels_of(path)
            files += [path] if label is None else [path, label]
            labels = None if label is None else idx.read(label)
            splits[split] = Split(partial(idx.read, path), labels)
    return ArrayFiles(tuple(files), splits, None)


def _load(path: Path, name: str | None = None) -> Array:
    try:
        if name is None:
            return np.load(path, mmap_mode="r")
        with path.open("rb") as opened, np.load(opened) as file:
            return file[name]
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _column(label: Array) -> Array:
    """Remove the second axis of a column, and decode bytes to text."""
    label = label[:, 0] if label.ndim == 2 and label.shape[1] == 1 else label
    return np.char.decode(label, "utf-8", "replace") if label.dtype.kind == "S" else label


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0].rstrip(".")
    return InputError(f"{path} cannot be read ({reason}): replace it.")
