"""Read data sets that TFDS has prepared as ArrayRecord, without TensorFlow."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxgen.data.examples import UNLABELED, Arrays, Examples, Indices
from jaxgen.data.quiet import quiet
from jaxgen.data.resize import Preparation, prepare_arrays
from jaxgen.data.split import digest
from jaxgen.errors import InputError


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


def splits(folder: Path) -> dict[str, str]:
    """Return the splits of a set under their own names; `validation` serves as `test` without one.

    Reads the same file as TFDS, without importing it. Raises InputError if it is damaged.
    """
    try:
        content = json.loads((folder / "dataset_info.json").read_text("utf-8"))
        names = [str(split["name"]) for split in content["splits"]]
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error
    own = {name: name for name in names}
    return {"test": "validation"} | own if "validation" in own else own


def examples(folder: Path, split: str, preparation: Preparation) -> Examples:
    """Return the examples of a split, whose labels are 0 if the set has none.

    Raises InputError if the set has no images of 8 bits.
    """
    import tensorflow_datasets as tfds

    with _reading(folder):
        builder: Any = tfds.builder_from_directory(folder)
        _check_features(builder.info)
        has_one_size = None not in builder.info.features["image"].shape
        source = builder.as_data_source(split, file_format="array_record")
    how = preparation.resize or (None if has_one_size else "crop")

    def records(indices: Indices) -> tuple[list[np.ndarray], Int32[np.ndarray, "m"]]:
        with _reading(folder):
            chunk = source.__getitems__(indices.tolist())
        label = np.array([record.get("label", 0) for record in chunk], np.int32)
        return [np.asarray(record["image"], np.uint8) for record in chunk], label

    def read(indices: Indices) -> Arrays:
        images, label = records(indices)
        return prepare_arrays(images, preparation, how), label

    def identify(indices: Indices) -> tuple[list[bytes], Int32[np.ndarray, "m"]]:
        images, label = records(indices)
        return [digest(image.tobytes()) for image in images], label

    return Examples(len(source), read, identify)


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
        features = content["featuresDict"]["features"]
        if "label" not in features:
            return UNLABELED
        num_classes = features["label"]["classLabel"]["numClasses"]
        return tuple(str(i) for i in range(int(num_classes)))
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error


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


def _check_features(info: Any) -> None:
    import tensorflow_datasets as tfds

    features = dict(info.features.items())
    image, label = features.get("image"), features.get("label")
    is_labeled = label is None or isinstance(label, tfds.features.ClassLabel)
    if isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8 and is_labeled:
        return
    raise InputError(
        f"{info.name} is not a set of images of 8 bits with a class each, or none, since its "
        f"features are {', '.join(features)}: choose another set."
    )
