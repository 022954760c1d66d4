"""Read data sets that TFDS has prepared as ArrayRecord, without TensorFlow."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen.data.quiet import quiet
from jaxgen.errors import InputError
from jaxgen.pixels import pad_to

CHUNK = 1024  # records read together, three times as fast as one by one

Arrays = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]  # images and their labels


class Records(NamedTuple):
    """The examples of a split, in TFDS's order, read lazily in chunks."""

    shape: tuple[int, ...]  # [n, h, w, c] of all images
    chunks: Iterator[Arrays]


def find(name: str, data_dir: Path) -> Path | None:
    """Find the newest prepared version of `name[/config][:version]` without importing TFDS."""
    name, _, version = name.partition(":")
    folders = [
        folder
        for folder in (data_dir / name).glob(version or "*")
        if re.fullmatch(r"\d+\.\d+\.\d+", folder.name) and (folder / "features.json").is_file()
    ]
    return max(folders, key=lambda folder: [int(n) for n in folder.name.split(".")], default=None)


def readable(folder: Path) -> bool:
    """Check whether the prepared set has ArrayRecord files."""
    return any(folder.glob("*.array_record*"))


def read(folder: Path, split: str, image_size: int | None) -> Records:
    """Read the examples of a split lazily, padded to `image_size` unless that is None.

    Raises InputError if the set has no labeled images of a single size, if it has no such split, or
    if the images are larger than `image_size`.
    """
    import tensorflow_datasets as tfds

    with _reading(folder):
        builder: Any = tfds.builder_from_directory(folder)
        shape = _image_shape(builder.info, split)
        source = builder.as_data_source(split, file_format="array_record")
        if image_size is not None:
            shape = pad_to(np.zeros((1, *shape), np.uint8), image_size).shape[1:]
        return Records((len(source), *shape), _chunks(folder, source, image_size))


def class_names(folder: Path) -> tuple[str, ...]:
    """Read the names of the classes, ordered by label; classes without names get their numbers.

    Reads the same files as TFDS, without importing it. Raises InputError if they are damaged.
    """
    path = folder / "label.labels.txt"
    try:
        if path.is_file():
            lines = path.read_text("utf-8").split("\n")
            return tuple(name for line in lines if (name := line.strip()))
        content = json.loads((folder / "features.json").read_text("utf-8"))
        num_classes = content["featuresDict"]["features"]["label"]["classLabel"]["numClasses"]
        return tuple(str(i) for i in range(int(num_classes)))
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error


def gather(records: Records) -> Arrays:
    """Read all examples into the host's memory."""
    image = np.empty(records.shape, np.uint8)
    label = np.empty(len(image), np.int32)
    stop = 0
    for chunk in records.chunks:
        start, stop = stop, stop + len(chunk[1])
        image[start:stop], label[start:stop] = chunk
    return image, label


def _chunks(folder: Path, source: Any, image_size: int | None) -> Iterator[Arrays]:
    for start in range(0, len(source), CHUNK):
        with _reading(folder):
            chunk = source.__getitems__(range(start, min(start + CHUNK, len(source))))
            image = np.array([record["image"] for record in chunk], np.uint8)
            label = np.array([record["label"] for record in chunk], np.int32)
        yield (image if image_size is None else pad_to(image, image_size)), label


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Silence TFDS, and turn its errors into InputError."""
    from google.protobuf import json_format

    try:
        with quiet():
            yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, json_format.Error) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0]
    return InputError(f"{folder} cannot be read ({reason}): delete it and prepare the set again.")


def _image_shape(info: Any, split: str) -> tuple[int, ...]:
    import tensorflow_datasets as tfds

    features = dict(info.features.items())
    image = features.get("image")
    label = features.get("label")
    if not (
        isinstance(image, tfds.features.Image)
        and image.np_dtype == np.uint8
        and isinstance(label, tfds.features.ClassLabel)
    ):
        raise InputError(
            f"{info.name} is not an image classification set, since its features are "
            f"{', '.join(features)}: choose another set."
        )
    shape: Any = image.shape
    if None in shape:
        raise InputError(f"{info.name} has images of several sizes: choose another set.")
    if split not in info.splits:
        raise InputError(f"{info.name} has no split {split!r}, only {' and '.join(info.splits)}.")
    return shape
