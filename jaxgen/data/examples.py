"""Examples that are read on demand: in any order, a chunk at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, UInt8

from jaxgen.errors import InputError

Arrays = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, "n"]]  # images and their labels
Indices = Int[np.ndarray, "m"]
Report = Callable[[str, int, int], None]  # what is being done, examples done so far, all examples

CHUNK = 64  # examples in memory at a time
UNLABELED = ("unlabeled",)  # the only class of a set without labels


class Examples(NamedTuple):
    """The examples of one split, in the set's own order."""

    num: int
    read: Callable[[Indices], Arrays]
    """Images of one shape, and labels. Examples that are broken may be missing."""
    identify: Callable[[Indices], tuple[list[bytes], Int32[np.ndarray, "m"]]]
    """Hashes of the contents of the images, and labels."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def read_chunks(examples: Examples, indices: Indices, report: Report) -> Iterator[Arrays]:
    """Read the examples with these indices. Raises InputError unless they have one shape."""
    first = None
    for part in _parts(indices, report, "reading"):
        image, label = examples.read(part)
        if len(label):
            first = image[0] if first is None else first
            _check_shape(first, image[0])
            yield image, label


def stack(images: Sequence[UInt8[np.ndarray, "_ _ _"]]) -> UInt8[np.ndarray, "n h w c"]:
    """Stack images, of which there may be none. Raises InputError unless they have one shape."""
    if not images:
        return np.empty((0, 0, 0, 0), np.uint8)
    for image in images:
        _check_shape(images[0], image)
    return np.stack(images)


def gather(examples: Examples, indices: Indices, report: Report) -> Arrays:
    """Read the examples with these indices into memory."""
    image, label, stop = None, np.empty(len(indices), np.int32), 0
    for part, part_label in read_chunks(examples, indices, report):
        if image is None:
            image = np.empty((len(indices), *part.shape[1:]), np.uint8)
        start, stop = stop, stop + len(part_label)
        image[start:stop], label[start:stop] = part, part_label
    image = np.empty((0, 0, 0, 0), np.uint8) if image is None else image
    return image[:stop], label[:stop]


def identify(examples: Examples, report: Report) -> tuple[list[bytes], Int32[np.ndarray, "n"]]:
    """Hash the contents of all examples; also return their labels."""
    digests, labels = [], [np.empty(0, np.int32)]
    for part in _parts(np.arange(examples.num), report, "comparing"):
        new, label = examples.identify(part)
        digests += new
        labels.append(label)
    return digests, np.concatenate(labels)


def _parts(indices: Indices, report: Report, what: str) -> Iterator[Indices]:
    for start in range(0, len(indices), CHUNK):
        yield indices[start : start + CHUNK]
        report(what, min(start + CHUNK, len(indices)), len(indices))


def _check_shape(one: UInt8[np.ndarray, "_ _ _"], other: UInt8[np.ndarray, "_ _ _"]) -> None:
    if one.shape != other.shape:
        sizes = (" x ".join(map(str, image.shape[:2])) for image in (one, other))
        raise InputError(
            f"The images have several sizes, such as {' and '.join(sizes)}: choose one with "
            "--image-size, or the argument image_size."
        )
