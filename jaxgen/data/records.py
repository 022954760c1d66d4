"""Reading a set that TFDS has prepared as ArrayRecord, which needs no TensorFlow."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen.data.quiet import quiet
from jaxgen.errors import InputError

CHUNK = 1024  # records at a time are read three times as fast as one by one

Arrays = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]  # images and their labels


class Records(NamedTuple):
    """The examples of a split, in TFDS's order; each chunk is read when it is asked for."""

    shape: tuple[int, ...]  # n, h, w, c: of all the images
    chunks: Iterator[Arrays]


def find(name: str, data_dir: Path) -> Path | None:
    """The newest prepared version of `name[/config][:version]` in `data_dir`, without TFDS."""
    name, _, version = name.partition(":")
    folders = [
        folder
        for folder in (data_dir / name).glob(version or "*")
        if re.fullmatch(r"\d+\.\d+\.\d+", folder.name) and (folder / "features.json").is_file()
    ]
    return max(folders, key=lambda folder: [int(n) for n in folder.name.split(".")], default=None)


def readable(folder: Path) -> bool:
    """Whether the prepared set is there as ArrayRecord."""
    return any(folder.glob("*.array_record*"))


def read(folder: Path, split: str) -> Records:
    """The examples of a split. Raises InputError for a set without images and labels."""
    import tensorflow_datasets as tfds

    with _reading(folder):
        builder: Any = tfds.builder_from_directory(folder)
        shape = _image_shape(builder.info, split)
        source = builder.as_data_source(split, file_format="array_record")
        return Records((len(source), *shape), _chunks(folder, source))


def gather(records: Records) -> Arrays:
    """All the examples of a split, in the host's memory."""
    image = np.empty(records.shape, np.uint8)
    label = np.empty(len(image), np.int32)
    stop = 0
    for chunk in records.chunks:
        start, stop = stop, stop + len(chunk[1])
        image[start:stop], label[start:stop] = chunk
    return image, label


def _chunks(folder: Path, source: Any) -> Iterator[Arrays]:
    for start in range(0, len(source), CHUNK):
        with _reading(folder):
            chunk = source.__getitems__(range(start, min(start + CHUNK, len(source))))
            image = np.array([record["image"] for record in chunk], np.uint8)
            label = np.array([record["label"] for record in chunk], np.int32)
        yield image, label


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Inside, TFDS is quiet, and what it cannot read raises InputError."""
    from google.protobuf import json_format

    try:
        with quiet():
            yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, json_format.Error) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{folder} cannot be read ({reason}): delete it and prepare the set again"
        ) from error


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
            f"{info.name} is no image-classification set: it has {', '.join(features)}"
        )
    shape: Any = image.shape
    if None in shape:
        raise InputError(f"{info.name} has images of several sizes: choose a set of one size")
    if split not in info.splits:
        raise InputError(f"{info.name} has no split {split!r}; it has {', '.join(info.splits)}")
    return shape
