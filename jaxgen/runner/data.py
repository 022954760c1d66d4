"""The images of a run: reading them, and what the user is told about them."""

import hashlib
from typing import NamedTuple

import numpy as np
from rich.console import Console

from jaxgen import data
from jaxgen.runner.options import DataOptions
from jaxgen.runner.progress import reading_bar
from jaxgen.training import memory
from jaxgen.types import Batch

NUM_FINGERPRINTED = 2**16  # images of a split, evenly spaced
BLOCK = 1024  # images hashed at a time
NUM_NAMES = 10  # of classes on the screen


class DataSets(NamedTuple):
    """The images of a run, on the host and of the size of the model's input."""

    name: str
    train: Batch
    test: Batch
    class_names: tuple[str, ...]
    is_streamed: bool


def load_data(options: DataOptions, data_mode: str, console: Console) -> DataSets:
    """Load both splits, whose images are mapped if those to train on are to be streamed.

    With `data_mode="auto"` they are streamed if they would fill more than half of a device. Prints
    what the user may not expect of the data.
    """
    name, notice = data.choose(options.dataset, options.data_dir, options.manual_dir)
    if notice:
        console.print(notice)
    with reading_bar(console) as report:
        source = data.find(
            name,
            data.Preparation(options.image_size, options.channels, options.resize),
            skip_broken=options.skip_broken,
            data_dir=options.data_dir,
            manual_dir=options.manual_dir,
            report=report,
        )
        train, test = (
            data.read(source, split, mapped=True, report=report) for split in ("train", "test")
        )
        class_names = data.class_names(source, report)
    is_streamed = data_mode == "stream"
    if data_mode == "auto":
        is_streamed = train.image.nbytes > memory.device_bytes() / 2
    if not is_streamed:
        train, test = (data.read(source, split) for split in ("train", "test"))
    sets = DataSets(source.name, train, test, class_names, is_streamed)
    for line in describe(source, sets):
        console.print(line)
    return sets


def describe(source: data.Source, sets: DataSets) -> list[str]:
    """Describe what the files do not show: the held-out share, missing classes, broken files."""
    num_train, num_test = len(sets.train.label), len(sets.test.label)
    num_images, lines = num_train + num_test, [source.notice] if source.notice else []
    if source.num_files is not None:
        _, height, width, channels = sets.train.image.shape
        num_classes = len(sets.class_names)
        names = ", ".join(sets.class_names[:NUM_NAMES])
        names += ", ..." if num_classes > NUM_NAMES else ""
        lines.append(
            f"{source.name}: {num_images:,} images as {height}x{width}x{channels}, of "
            f"{'1 class' if num_classes == 1 else f'{num_classes} classes'} ({names})"
        )
        if broken := source.num_files - num_images:
            lines.append(f"{broken:,} broken files are left out")
    if data.holds_out(source):
        lines.append(
            f"{source.name} has no test split: {num_test:,} of {num_images:,} images are held out, "
            "chosen by their contents"
        )
    if len(sets.class_names) < len(source.class_names):
        lines.append(
            f"{len(sets.class_names)} of the {len(source.class_names)} classes of {source.name} "
            "have images; the others are left out"
        )
    if are_all_the_same(sets.train):
        lines.append("all training images are the same: there is nothing to learn")
    return lines


def are_all_the_same(split: Batch) -> bool:
    """Return whether all images are equal."""
    return all(np.array_equal(image, split.image[0]) for image in split.image)


def fingerprint(sets: DataSets) -> str:
    """Hash labels, class names and images; of very large splits, evenly spaced images."""
    digest = hashlib.sha256(repr(sets.class_names).encode())
    for split in (sets.train, sets.test):
        stride = -(-len(split.label) // NUM_FINGERPRINTED)
        digest.update(repr(split.image.shape).encode())
        digest.update(np.ascontiguousarray(split.label).data)
        for start in range(0, len(split.label), stride * BLOCK):
            block = split.image[start : start + stride * BLOCK : stride]
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
