"""A folder of images: which files belong to which split and class.

* `train/` and `test/` (or `val/`) are the splits; without them, all images are to train on.
* Within a split, each folder is a class with all images below it. Without folders there is one.
* Hidden files and folders, and files that are no images, are ignored. Photos that Pillow cannot
  read, such as .heic, are ignored and counted.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from jaxgen.data import decode
from jaxgen.data.examples import UNLABELED
from jaxgen.errors import InputError

# Photos that may be read with a plug-in of Pillow, or converted.
PHOTOS = {".arw", ".cr2", ".dng", ".eps", ".heic", ".heif", ".jxl", ".nef", ".pdf", ".svg"}
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that is there


class Files(NamedTuple):
    """The images of a split."""

    paths: list[str]
    label: Int32[np.ndarray, "n"]


class Folder(NamedTuple):
    """The contents of a folder of images."""

    splits: dict[str, Files]
    class_names: tuple[str, ...]
    notice: str
    """What is not used, if it might have been meant."""


def scan(root: Path) -> Folder:
    """List the images below a folder, in the order of their classes and names.

    Raises InputError if there are none, none to train on, or if only some are in class folders.
    """
    folders, notices = _split_folders(root), []
    if folders is None:
        folders = {"train": root}
    elif unused := [path.name for path in _subfolders(root) if path not in folders.values()]:
        used = " and ".join(folder.name for folder in folders.values())
        notices.append(f"{root}: beside {used}, {', '.join(unused)} is not used")
    files = {split: _files_by_class(folder) for split, folder in folders.items()}
    images = {split: _only_images(folders[split], files[split]) for split in folders}
    kinds = Counter(
        _kind(file) for split in files.values() for own in split.values() for file in own
    )
    names = sorted({name for classes in images.values() for name in classes}, key=_number_first)
    if not names:
        if not kinds:
            raise InputError(f"{root} is empty: give a folder of images.")
        raise InputError(
            f"{root} holds no images that Pillow reads, only files of the kind "
            f"{', '.join(sorted(kinds)[:5])}: give a folder of images."
        )
    if photos := sorted(kinds.keys() & PHOTOS - decode.extensions()):
        count = sum(kinds[kind] for kind in photos)
        notices.append(
            f"{count} files ({', '.join(photos)}) are left out, since Pillow cannot read them"
        )
    splits = {}
    for split, classes in images.items():
        entries = [entry for name in names for entry in classes.get(name, [])]
        sizes = [len(classes.get(name, [])) for name in names]
        splits[split] = Files(
            [entry.path for entry in entries],
            np.repeat(np.arange(len(names), dtype=np.int32), sizes),
        )
    return Folder(splits, tuple(name or UNLABELED[0] for name in names), "; ".join(notices))


def _split_folders(root: Path) -> dict[str, Path] | None:
    """Find the folders of the splits; None if there are none, or if they are classes.

    Raises InputError if there are images to test only.
    """
    subfolders = _subfolders(root)
    by_name = {path.name.lower(): path for path in subfolders}
    train = next((by_name[name] for name in TRAIN if name in by_name), None)
    test = next((by_name[name] for name in TEST if name in by_name), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    if by_name and by_name.keys() <= {*TEST}:
        raise InputError(
            f"{root} holds only images to test, in {' and '.join(sorted(by_name))}: add a folder "
            "train, or give the folder of images itself."
        )
    return {"train": train} if train is not None and len(subfolders) == 1 else None


def _files_by_class(folder: Path) -> dict[str, list[os.DirEntry[str]]]:
    """List all files by class; the name of those that are in no folder is empty."""
    direct = [entry for entry in _entries(folder) if entry.is_file()]
    return {"": direct} | {path.name: list(_walk(path, set())) for path in _subfolders(folder)}


def _only_images(
    folder: Path, files: dict[str, list[os.DirEntry[str]]]
) -> dict[str, list[os.DirEntry[str]]]:
    """Leave out other files and empty classes. Raises InputError if only some have a class."""
    images = {name: [f for f in own if decode.is_image(f.name)] for name, own in files.items()}
    images = {name: own for name, own in images.items() if own}
    if "" in images and len(images) > 1:
        raise InputError(
            f"{folder} holds images, such as {images[''][0].name}, beside class folders, such as "
            f"{min(images.keys() - {''})}: move all images into class folders, or none."
        )
    return images


def _walk(folder: Path, parents: set[str]) -> Iterator[os.DirEntry[str]]:
    """Walk through all files below a folder; links to folders are followed, but not in circles."""
    real = os.path.realpath(folder)
    if real in parents:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(Path(entry.path), parents | {real})
        elif entry.is_file():
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


def _kind(file: os.DirEntry[str]) -> str:
    return os.path.splitext(file.name)[1].lower() or file.name
