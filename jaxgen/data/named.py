"""Data sets of TFDS by their names: finding, preparing and choosing them."""

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

from jaxgen.data import builtin, mnist, shapes, tfds
from jaxgen.errors import InputError

OWN_NAMES = {builtin.NAME, shapes.NAME, *mnist.BUILDERS}
CATALOG = "https://www.tensorflow.org/datasets/catalog/overview#image_classification"


class Choice(NamedTuple):
    """The name of the data set to train on, and a notice for the user."""

    name: str
    notice: str = ""


def is_name(text: str) -> bool:
    """Tell whether a text has the form of the name of a TFDS set: `name[/config][:version]`."""
    return re.fullmatch(r"\w+(/\w[\w.-]*)?(:\d+(\.\d+)*)?", text) is not None


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


def prepared(name: str, data_dir: Path, manual_dir: Path | None) -> Path:
    """Find the folder of a prepared set, which is prepared now if it is one of MNIST's kind.

    Raises InputError if there is none that can be read.
    """
    if not is_name(name):
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

    names = tensorflow_datasets.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name.lower(), [builtin.NAME, shapes.NAME, *names])
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(
        f"There is no data set {name!r}, and no folder or file of that name. {hint}{builtin.NAME} "
        f"and {shapes.NAME} are built in, and {CATALOG} lists the others."
    )
