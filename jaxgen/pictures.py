"""Pictures of a run: grids of images and curves of metrics. The only file that draws."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from PIL import Image

GAP = 2  # pixels between images


def grid(
    images: Float[np.ndarray, "n h w c"], num_columns: int, scale: int = 2
) -> Float[np.ndarray, "height width 3"]:
    """Images in [0, 1] row by row on white, each pixel `scale` pixels wide; grey becomes RGB."""
    num, height, width, channels = images.shape
    num_rows = -(-num // num_columns)
    canvas = np.ones((num_rows, height + GAP, num_columns, width + GAP, 3))
    rgb = np.broadcast_to(images, (num, height, width, 3)) if channels == 1 else images
    for index, image in enumerate(rgb):
        row, column = divmod(index, num_columns)
        canvas[row, :height, column, :width] = image
    picture = canvas.reshape(num_rows * (height + GAP), num_columns * (width + GAP), 3)
    return picture[:-GAP, :-GAP].repeat(scale, axis=0).repeat(scale, axis=1)


def beside(
    left: Float[np.ndarray, "n h w c"], right: Float[np.ndarray, "n h w c"]
) -> Float[np.ndarray, "m h w c"]:
    """The images of both in turn: in a grid of even width, each stands beside its partner."""
    return np.stack([left, right], axis=1).reshape(-1, *left.shape[1:])


def save(path: Path, picture: Float[np.ndarray, "height width 3"]) -> None:
    """Writes a picture in [0, 1] as PNG."""
    imsave(path, np.clip(picture, 0, 1))


def animate(path: Path, pictures: Iterable[Path], milliseconds: int = 200) -> None:
    """Writes saved pictures, in their order, as an animated GIF; the last one stays on for 2 s."""
    first, *rest = (Image.open(picture).convert("P") for picture in pictures)
    duration = [milliseconds] * len(rest) + [2000]
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0)


def curves(
    path: Path,
    records: list[dict[str, Any]],
    panels: dict[str, list[str]],
    groups: Mapping[str, list[int]] = MappingProxyType({}),
) -> None:
    """Draws metrics against epochs: a panel for each title, a line for each of its keys.

    A record that lacks a key leaves a gap in its line. Where it holds a list, for the members of a
    population, thin lines show these, and for each of the named `groups` of members a thick one
    their mean, in a band of one standard deviation; null leaves a gap.
    """
    figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    epochs = [record["epoch"] for record in records]
    for ax, (title, keys) in zip(axes, panels.items(), strict=True):
        for key in keys:
            values = [np.array(record.get(key, np.nan), float) for record in records]
            if any(value.ndim for value in values):
                members = np.stack(np.broadcast_arrays(*values))
                for name, those in groups.items():
                    _band(ax, epochs, members[:, those], f"{key} {name}")
            else:
                ax.plot(epochs, values, marker=".", label=key)
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small" if len(groups) < 3 else "xx-small")
    figure.savefig(path, dpi=100)


def throughput(
    path: Path,
    panels: Mapping[str, Mapping[str, Mapping[int, tuple[float, float, float]]]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draws rates against sizes: a panel for each title, a line for each name.

    Each point is a median with its smallest and largest figure.
    """
    figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, by_size in lines.items():
            median, low, high = np.transpose(list(by_size.values()))
            spread = [median - low, high - median]
            ax.errorbar(list(by_size), median, spread, marker=".", capsize=2, label=name)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def _band(ax: Axes, epochs: list[int], values: Float[np.ndarray, "epochs members"], name: str):
    members = np.ma.masked_invalid(values)
    mean = members.mean(axis=1)
    std = members.std(axis=1, ddof=1) if values.shape[1] > 1 else 0 * mean
    (line,) = ax.plot(epochs, mean, marker=".", label=name)
    ax.plot(epochs, values, color=line.get_color(), linewidth=0.5, alpha=0.5)
    ax.fill_between(epochs, mean - std, mean + std, color=line.get_color(), alpha=0.2, linewidth=0)
