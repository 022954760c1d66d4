"""From the name of a set to its arrays."""

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.data import builtin, cache, mnist, records
from jaxgen.errors import InputError
from jaxgen.types import Batch

CATALOG = "https://www.tensorflow.org/datasets/catalog/overview#image_classification"


class Choice(NamedTuple):
    """The set to train on, and what the user should be told about it."""

    name: str
    notice: str = ""


def load(
    name: str,
    split: str,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    mapped: bool = False,
) -> Batch:
    """Read a split of the built-in set `mnist_5k` or of an image-classification set of TFDS.

    The arrays are on the host: uint8 images, int32 labels, in TFDS's order. `data_dir` is TFDS's
    (default: its own default); MNIST, Fashion-MNIST and KMNIST are prepared there if need be,
    from the original .gz files in `manual_dir` or from the network. What was read is cached
    beside the prepared set; `mapped` images stay in that file until they are used, so the set
    need not fit the host's memory. Raises InputError for whatever cannot be had.
    """
    if name == builtin.NAME:
        image, label = builtin.read(split)
    else:
        folder = _prepared(name, data_dir or default_data_dir(), manual_dir)
        arrays = cache.read(folder, split, mapped)
        if arrays is None:
            cache.write(folder, split, records.read(folder, split))
            arrays = cache.read(folder, split, mapped)
        image, label = arrays or records.gather(records.read(folder, split))
    return Batch(image, label)  # pyright: ignore[reportArgumentType]  (NumPy: still on the host)


def choose(
    name: str | None, data_dir: Path | None = None, manual_dir: Path | None = None
) -> Choice:
    """The set by this name, never another; by default MNIST if it can be had, else `mnist_5k`."""
    if name is not None:
        return Choice(name)
    data_dir = data_dir or default_data_dir()
    folder = records.find("mnist", data_dir)
    if folder is None:
        available = manual_dir is not None or mnist.reachable("mnist")
    else:
        available = records.readable(folder)
    if available:
        return Choice("mnist")
    if folder is None:
        state = f"neither prepared in {data_dir} nor reachable"
    else:
        state = f"in {folder} without ArrayRecord files"
    return Choice(
        builtin.NAME,
        f"MNIST is {state}: using the built-in {builtin.NAME}, 5 000 of its digits. "
        "For all of MNIST, give its four .gz files by --manual-dir.",
    )


def pad_to(batch: Batch, size: int) -> Batch:
    """Put zeros around images, which stay centred: size x size. Raises InputError if larger."""
    height, width = batch.image.shape[1:3]
    if height > size or width > size:
        raise InputError(
            f"images of {height}x{width} pixels do not fit the model's {size}x{size}: "
            "choose another set or a larger model"
        )
    margins = [((size - n) // 2, (size - n + 1) // 2) for n in (height, width)]
    return batch._replace(image=np.pad(batch.image, [(0, 0), *margins, (0, 0)]))


def default_data_dir() -> Path:
    """Where TFDS keeps its sets, without importing it."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def _prepared(name: str, data_dir: Path, manual_dir: Path | None) -> Path:
    if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.]+)?", name):
        raise _unknown(name)
    folder = records.find(name, data_dir)
    if folder is None and name in mnist.FAMILY:
        folder = mnist.prepare(name, data_dir, manual_dir)
    if folder is None:
        raise _unprepared(name, data_dir)
    if not records.readable(folder):
        raise InputError(
            f"{folder} holds no ArrayRecord files, and other formats need TensorFlow: "
            "choose another --data-dir, where the set is or can be prepared as ArrayRecord"
        )
    return folder


def _unprepared(name: str, data_dir: Path) -> InputError:
    import tensorflow_datasets as tfds

    if name.partition(":")[0].partition("/")[0] not in tfds.list_builders(
        with_community_datasets=False
    ):
        return _unknown(name)
    configs = sorted(
        str(path.parent.parent.relative_to(data_dir))
        for path in data_dir.glob(f"{name}/*/*/features.json")
    )
    if configs:
        return InputError(f"{name} has several variants; name one: {', '.join(configs)}")
    return InputError(
        f"{name} is not prepared in {data_dir}. Only {', '.join(mnist.FAMILY)} can be prepared "
        f"here; elsewhere, with TensorFlow: tfds build {name} --file_format=array_record"
    )


def _unknown(name: str) -> InputError:
    import tensorflow_datasets as tfds

    names = [builtin.NAME, *tfds.list_builders(with_community_datasets=False)]
    near = difflib.get_close_matches(name.lower(), names)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(
        f"there is no data set {name!r}. {hint}Built in: {builtin.NAME}; all others: {CATALOG}"
    )
