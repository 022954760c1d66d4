"""A folder of images: which files belong to which split and class.

* `train/` and `test/` (or `val/`) are the splits; without them, all images are to train on.
* Within a split, each folder is a class with all images below it. Without folders there is one.
* Hidden files and folders, and files that are no images, are ignored.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from jaxgen.data.decode import is_image
from jaxgen.data.examples import UNLABELED
from jaxgen.errors import InputError

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that is there


class Files(NamedTuple):
    """The images of a split."""

    paths: list[Path]
    stats: list[os.stat_result]
    label: Int32[np.ndarray, "n"]


class Folder(NamedTuple):
    """The contents of a folder of images."""

    splits: dict[str, Files]
    class_names: tuple[str, ...]
    notice: str
    """What is not used, if it might have been meant."""


def scan(root: Path) -> Folder:
    """List the images below a folder, in the order of their classes and names.

    Raises InputError if there are none, or if some are in class folders and some are not.
    """
    folders, unused = _split_folders(root), []
    if folders is None:
        folders = {"train": root}
    else:
        unused = [path.name for path in _subfolders(root) if path not in folders.values()]
    by_class = {split: _by_class(folder) for split, folder in folders.items()}
    names = sorted({name for classes in by_class.values() for name in classes}, key=_number_first)
    if not names:
        raise InputError(f"{root} holds no images: {_what_it_holds(root)}.")
    splits = {}
    for split, classes in by_class.items():
        entries = [entry for name in names for entry in classes.get(name, [])]
        sizes = [len(classes.get(name, [])) for name in names]
        splits[split] = Files(
            [Path(entry.path) for entry in entries],
            [entry.stat() for entry in entries],
            np.repeat(np.arange(len(names), dtype=np.int32), sizes),
        )
    notice = ""
    if unused:
        used = " and ".join(folder.name for folder in folders.values())
        notice = f"{root}: beside {used}, {', '.join(sorted(unused))} is not used"
    return Folder(splits, UNLABELED if names == [""] else tuple(names), notice)


def _split_folders(root: Path) -> dict[str, Path] | None:
    """Find the folders of the splits; None if there are none, or if they are classes."""
    subfolders = _subfolders(root)
    by_name = {path.name.lower(): path for path in subfolders}
    train = next((by_name[name] for name in TRAIN if name in by_name), None)
    test = next((by_name[name] for name in TEST if name in by_name), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    return {"train": train} if train is not None and len(subfolders) == 1 else None


def _by_class(folder: Path) -> dict[str, list[os.DirEntry[str]]]:
    """List the images of each class; the name of the only one is empty if there are no folders."""
    direct = [entry for entry in _entries(folder) if entry.is_file() and is_image(entry.name)]
    classes = {path.name: list(_images_below(path, set())) for path in _subfolders(folder)}
    classes = {name: images for name, images in classes.items() if images}
    if direct and classes:
        raise InputError(
            f"{folder} holds images, such as {direct[0].name}, beside class folders, such as "
            f"{min(classes)}: move all images into class folders, or none."
        )
    return {"": direct} if direct else classes


def _images_below(folder: Path, parents: set[str]) -> Iterator[os.DirEntry[str]]:
    """Walk through all images below a folder; links to folders are followed, but not in circles."""
    real = os.path.realpath(folder)
    if real in parents:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _images_below(Path(entry.path), parents | {real})
        elif entry.is_file() and is_image(entry.name):
            yield entry


def _subfolders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """List what is in a folder and is not hidden, in the order of the names."""
    with os.scandir(folder) as entries:
        visible = [e for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"]
    return sorted(visible, key=lambda entry: entry.name)


def _number_first(name: str) -> tuple[bool, int, str]:
    """Sort 2 before 10, and numbers before names."""
    is_number = name.isascii() and name.isdigit()
    return not is_number, int(name) if is_number else 0, name


def _what_it_holds(root: Path) -> str:
    suffixes = sorted({Path(e.name).suffix or e.name for e in _entries(root) if e.is_file()})
    if not suffixes:
        return "it is empty" if not _entries(root) else "neither do the folders in it"
    return f"it has files of the kind {', '.join(suffixes[:5])}, and Pillow reads none of them"
