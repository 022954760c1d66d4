"""Load a data set by its name or from a path."""

import os
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import Literal

from jaxgen.data import (
    arrays,
    builtin,
    cache,
    decode,
    files,
    folder,
    idx,
    named,
    shapes,
    source,
    tfds,
)
from jaxgen.data.examples import Report, silent
from jaxgen.data.resize import Preparation, Resize
from jaxgen.data.source import Source
from jaxgen.errors import InputError
from jaxgen.types import Batch

ARCHIVES = {".gz", ".tar", ".tgz", ".zip"}


def load(
    name: str | Path,
    split: str,
    *,
    image_size: int | None = None,
    channels: Literal[1, 3] | None = None,
    resize: Resize | None = None,
    skip_broken: bool = False,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    mapped: bool = False,
    report: Report = silent,
) -> Batch:
    """Read a split of a data set: uint8 images and int32 labels as host arrays.

    `name` is `mnist_5k` or `shapes` (built in), an image set of TFDS, or a path: a folder of
    images, with a folder for each class or without, or an .npz, .npy or IDX file. Labels are 0 to k
    - 1 for the k classes that occur in training, and 0 in a set without labels. A set without a
    test split has a tenth of its training images held out for `test`, chosen by their contents.

    Images are brought to squares of side `image_size` as `resize` says; None leaves their size, or
    if `image_size` is given, crops images of several sizes and pads those of one size. `channels`
    is 1 if all images are grey, otherwise 3, unless it is given. Files that are broken are named,
    or left out with `skip_broken`. `jaxgen.data.decode` says what becomes of each kind of image.

    `data_dir` is TFDS's directory of prepared sets. MNIST, Fashion-MNIST and KMNIST are prepared
    there if necessary, from the original .gz files in `manual_dir` or from the network. The arrays
    are cached beside the set. With `mapped`, the images stay in that file until they are used, so
    that a set may exceed the host's memory. `report` is told what is done, how far, and of how
    much. Raises InputError if the set or the split is not available.
    """
    found = find(
        name,
        Preparation(image_size, channels, resize),
        skip_broken=skip_broken,
        data_dir=data_dir,
        manual_dir=manual_dir,
        report=report,
    )
    return source.read(found, split, mapped, report)


def find(
    name: str | Path,
    preparation: Preparation,
    *,
    skip_broken: bool = False,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    report: Report = silent,
) -> Source:
    """Find a data set; see `load`. Raises InputError if it is not available."""
    preparation.check()
    path = as_path(name)
    if path is None:
        return _find_named(str(name), preparation, data_dir, manual_dir)
    if not path.exists():
        raise InputError(
            f"{path} does not exist: give a folder of images, an .npz, .npy or IDX file, or the "
            f"name of a set, such as {builtin.NAME}."
        )
    if path.is_dir():
        return _find_in_folder(path, preparation, skip_broken, report)
    return _find_in_files(path, preparation)


def as_path(name: str | Path) -> Path | None:
    """Return the absolute path that a data set's name is; None if it is the name of a set.

    A path exists, or has a separator or a known suffix. The names of MNIST's kind and of the
    built-in set come first: a folder of that name is given as `./mnist`.
    """
    path = Path(name).expanduser()
    if isinstance(name, str):
        if name in named.OWN_NAMES or not name:
            return None
        has_suffix = path.suffix.lower() in {*arrays.SUFFIXES, *ARCHIVES, *decode.extensions()}
        looks_like_a_path = has_suffix or "/" in name or "\\" in name or name.startswith((".", "~"))
        if not path.exists() and (named.is_name(name) or not looks_like_a_path):
            return None
    return path.absolute()


def _find_in_folder(
    path: Path, preparation: Preparation, skip_broken: bool, report: Report
) -> Source:
    if idx_images := idx.image_files(path):
        if len(idx_images) > 1:
            names = ", ".join(file.name for file in idx_images)
            raise InputError(f"{path} holds several sets: give one of {names}.")
        return _find_in_files(idx_images[0], preparation)
    found = folder.scan(path)
    paths = [file for part in found.splits.values() for file in part.paths]

    @once
    def settled() -> Preparation:
        channels = preparation.channels or files.num_channels(paths, report)
        return preparation._replace(channels=channels)

    return Source(
        str(path),
        found.class_names,
        {
            split: lambda part=part: files.examples(part, settled(), skip_broken)
            for split, part in found.splits.items()
        },
        cache.place(
            path,
            preparation.describe() + ("-sound" if skip_broken else ""),
            ((file.removeprefix(str(path)), os.stat(file)) for file in paths),
        ),
        num_files=len(paths),
        notice=found.notice,
    )


def _find_in_files(path: Path, preparation: Preparation) -> Source:
    contents = arrays.open_files(path)
    class_names, labels = arrays.class_labels(contents)
    return Source(
        str(path),
        class_names,
        {
            split: partial(arrays.load_split, contents, split, label, preparation)
            for split, label in labels.items()
        },
        cache.place(
            path.parent,
            f"{path.name}-{preparation.describe()}",
            ((file.name, file.stat()) for file in contents.files),
        ),
    )


def _find_named(
    name: str, preparation: Preparation, data_dir: Path | None, manual_dir: Path | None
) -> Source:
    if name == builtin.NAME:
        splits = {
            split: lambda split=split: arrays.examples(*builtin.read(split), preparation)
            for split in builtin.SPLITS
        }
        return Source(name, builtin.CLASS_NAMES, splits)
    if name == shapes.NAME:
        size = preparation.size or shapes.SIZE  # they are drawn at the size that is asked for
        splits = {
            split: lambda split=split: arrays.examples(*shapes.read(split, size), preparation)
            for split in shapes.NUM_IMAGES
        }
        return Source(name, shapes.CLASS_NAMES, splits)
    prepared = named.prepared(name, data_dir or named.default_data_dir(), manual_dir)
    splits = {
        split: partial(tfds.examples, prepared, own, preparation)
        for split, own in tfds.splits(prepared).items()
    }
    found = ((path.name, path.stat()) for path in prepared.iterdir() if path.is_file())
    place = cache.place(prepared, preparation.describe(), found)
    return Source(name, tfds.class_names(prepared), splits, place)
