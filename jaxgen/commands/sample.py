"""`jaxgen sample`: draw images from a run."""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxgen.commands.arguments import RecipeModule, RunDir, load
from jaxgen.errors import InputError, require_positive
from jaxgen.pictures import grids
from jaxgen.pixels import to_uint8
from jaxgen.types import CheckpointChoice

if TYPE_CHECKING:
    from jaxgen.runner.load import Run

Pixels = UInt8[np.ndarray, "n h w c"]
Labels = Int[np.ndarray, "n"]


def sample(
    run_dir: RunDir,
    output: Path,
    num: int = 64,
    classes: tuple[str, ...] = (),
    seed: int = 0,
    member: int | None = None,
    checkpoint: CheckpointChoice = "latest",
    recipe: RecipeModule = None,
) -> None:
    """Draw images from a run, and write them to a folder or a file.

    A folder gets a PNG file for each image, in a folder for each class if the model draws by class.
    An .npz file holds image, label and class_names, as --dataset reads them; a .png file is a grid.

    Args:
        run_dir: Directory of the run.
        output: A new folder, .npz file or .png file.
        num: Number of images, divided evenly among the classes.
        classes: Names of the classes to draw; all if there are none.
        seed: Seed of the noise; the same seed draws the same images.
        member: Member of a population, from 0.
        checkpoint: Checkpoint to draw from: latest, best of the saved ones, or a step.
        recipe: Module with the recipe of the run, if it is neither built in nor registered.
    """
    require_positive(**{"--num": num})
    write = _writer(output)
    run = load(run_dir, checkpoint, recipe)
    run = run if member is None else run.member(member)
    names = () if run.learner.num_classes is None else run.facts.class_names
    wanted = _numbers(run, classes, names)
    labels = [wanted[i % len(wanted)] for i in range(num)]
    images = np.concatenate([to_uint8(batch) for batch in run.sample_batches(labels, seed=seed)])
    write(output, images, np.array(labels, np.int32), names)
    print(f"{num} images after {run.step} steps: {output}")


def _numbers(run: "Run", classes: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the labels of the named classes."""
    if not names:
        if classes:
            raise InputError(f"The model of {run.path} draws no particular class: omit --classes.")
        return [0]
    for name in classes:
        if name not in names:
            near = difflib.get_close_matches(name, names) or names
            raise InputError(f"{run.path} has no class {name!r}: choose {' or '.join(near)}.")
    return [names.index(name) for name in dict.fromkeys(classes or names)]


def _writer(output: Path) -> Callable[[Path, Pixels, Labels, Sequence[str]], None]:
    """Choose the form of the output. Raises InputError if it exists or has an unknown suffix."""
    suffix = output.suffix.lower()
    if output.is_dir() and not any(output.iterdir()) and suffix not in (".npz", ".png"):
        return _write_folder
    if output.exists():
        raise InputError(f"{output} already exists: choose another --output.")
    if suffix in (".jpg", ".jpeg", ".gif", ".webp", ".tiff", ".npy", ".zip", ".tar", ".gz"):
        raise InputError(f"{output} cannot be written: give a folder, an .npz or a .png file.")
    return {".npz": _write_arrays, ".png": _write_grid}.get(suffix, _write_folder)


def _write_folder(output: Path, images: Pixels, labels: Labels, names: Sequence[str]) -> None:
    folders = [output / name for name in _file_names(names)] or [output]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = folders[label]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(pixels).save(folder / f"{number:06d}.png")


def _write_arrays(output: Path, images: Pixels, labels: Labels, names: Sequence[str]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    if names:
        np.savez_compressed(output, image=images, label=labels, class_names=np.array(names))
    else:
        np.savez_compressed(output, image=images)


def _write_grid(output: Path, images: Pixels, labels: Labels, names: Sequence[str]) -> None:
    """Write a grid with a row for each class, or a square one."""
    drawn = np.unique(labels)
    num_columns = -(-len(images) // len(drawn)) if names else math.isqrt(len(images) - 1) + 1
    if names:
        cells = np.ones((len(drawn), num_columns, *images.shape[1:]))
        for row, label in zip(cells, drawn, strict=True):
            own = images[labels == label] / 255
            row[: len(own)] = own
        picture = grids.grid(cells.reshape(-1, *images.shape[1:]), num_columns)
        picture = grids.with_names(picture, [names[int(label)] for label in drawn])
    else:
        picture = grids.grid(images / 255, num_columns)
    output.parent.mkdir(parents=True, exist_ok=True)
    grids.save(output, picture)


def _file_names(names: Sequence[str]) -> list[str]:
    """Return the names of classes as names of folders, which no two share."""
    safe = [re.sub(r"[^\w .+-]", "_", name).strip(" .") or "_" for name in names]
    if len({name.lower() for name in safe}) == len(safe):
        return safe
    return [f"{label}_{name}" for label, name in enumerate(safe)]
