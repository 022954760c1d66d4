"""Load a data set by its name."""

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

from jaxgen.data import builtin, cache, mnist, tfds
from jaxgen.errors import InputError
from jaxgen.pixels import pad_to
from jaxgen.types import Batch

CATALOG = "https://www.tensorflow.org/datasets/catalog/overview#image_classification"


class Choice(NamedTuple):
    """The name of the data set to train on, and a notice for the user."""

    name: str
    notice: str = ""


def load(
    name: str,
    split: str,
    *,
    image_size: int | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    mapped: bool = False,
) -> Batch:
    """Read a split of the built-in set `mnist_5k` or of an image classification set of TFDS.

    Returns uint8 images and int32 labels as host arrays in TFDS's order. The images are centered in
    black squares of side `image_size`, or unchanged if that is None. `data_dir` is TFDS's directory
    of prepared sets. MNIST, Fashion-MNIST and KMNIST are prepared there if necessary, from the
    original .gz files in `manual_dir` or from the network. The arrays are cached beside the
    prepared set. With `mapped`, the images stay in that file until they are used, so that a set may
    exceed the host's memory. Raises InputError if the set or the split is not available.
    """
    if name == builtin.NAME:
        image, label = builtin.read(split)
        if image_size is not None:
            image = pad_to(image, image_size)
    else:
        folder = _prepared(name, data_dir or default_data_dir(), manual_dir)
        path = cache.cache_path(folder, split, image_size)
        arrays = cache.read(path, mapped)
        if arrays is None:
            cache.write(path, tfds.read(folder, split, image_size))
            arrays = cache.read(path, mapped)
        image, label = arrays or tfds.gather(tfds.read(folder, split, image_size))
    return Batch(image, label)  # pyright: ignore[reportArgumentType]  (NumPy arrays on the host)


def class_names(name: str, data_dir: Path | None = None) -> tuple[str, ...]:
    """Read the names of the classes, ordered by label. Raises InputError as `load` does."""
    if name == builtin.NAME:
        return builtin.CLASS_NAMES
    return tfds.class_names(_prepared(name, data_dir or default_data_dir(), None))


def choose(
    name: str | None, data_dir: Path | None = None, manual_dir: Path | None = None
) -> Choice:
    """Choose the named set; without a name, MNIST if it is available, otherwise `mnist_5k`."""
    if name is not None:
        return Choice(name)
    data_dir = data_dir or default_data_dir()
    folder = tfds.find("mnist", data_dir)
    if folder is None:
        available = manual_dir is not None or mnist.reachable("mnist")
    else:
        available = tfds.readable(folder)
    if available:
        return Choice("mnist")
    if folder is None:
        reason = f"MNIST is neither prepared in {data_dir} nor reachable"
        remedy = "give its four original .gz files with --manual-dir"
    else:
        reason, remedy = f"{folder} has no ArrayRecord files", "choose another --data-dir"
    return Choice(
        builtin.NAME,
        f"{reason}: using the built-in {builtin.NAME}, a subset of MNIST. "
        f"For all of MNIST, {remedy}.",
    )


def default_data_dir() -> Path:
    """Return TFDS's own default directory without importing TFDS."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def _prepared(name: str, data_dir: Path, manual_dir: Path | None) -> Path:
    if not re.fullmatch(r"\w+(/\w[\w.-]*)?(:\d+(\.\d+)*)?", name):
        raise _unknown(name)
    folder = tfds.find(name, data_dir)
    if folder is None and name in mnist.BUILDERS:
        folder = mnist.prepare(name, data_dir, manual_dir)
    if folder is None:
        raise _unprepared(name, data_dir)
    if not tfds.readable(folder):
        raise InputError(
            f"{folder} has no ArrayRecord files, and other formats need TensorFlow: choose a "
            "--data-dir in which the set is, or can be, prepared as ArrayRecord."
        )
    return folder


def _unprepared(name: str, data_dir: Path) -> InputError:
    import tensorflow_datasets

    if name.partition(":")[0].partition("/")[0] not in tensorflow_datasets.list_builders(
        with_community_datasets=False
    ):
        return _unknown(name)
    configs = {
        str(path.parent.parent.relative_to(data_dir))
        for path in data_dir.glob(f"{name}/*/*/features.json")
    }
    if configs:
        return InputError(f"{name} has several variants: choose {' or '.join(sorted(configs))}.")
    return InputError(
        f"{name} is not prepared in {data_dir}, and jaxgen prepares only "
        f"{', '.join(mnist.BUILDERS)}: install TensorFlow, and run "
        f"`tfds build {name} --data_dir={data_dir} --file_format=array_record`."
    )


def _unknown(name: str) -> InputError:
    import tensorflow_datasets

    names = [builtin.NAME, *tensorflow_datasets.list_builders(with_community_datasets=False)]
    near = difflib.get_close_matches(name.lower(), names)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(
        f"There is no data set {name!r}. {hint}{builtin.NAME} is built in, and {CATALOG} lists "
        "the others."
    )
