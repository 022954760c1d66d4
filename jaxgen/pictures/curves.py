"""Plots of metrics against epochs and over members, and of rates against sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgen.runs.records import Record
from jaxgen.training.population import NUM_SHOWN, spread_out

NUM_BINS = 30


def curves(
    path: Path,
    records: Sequence[Record],
    panels: Mapping[str, Sequence[str]],
    groups: Mapping[str, list[int]] = MappingProxyType({}),
    best_epoch: int | None = None,
) -> None:
    """Plot metrics against epochs: a panel per title, a line per key.

    A record without a key, or with null, leaves a gap. If the records of a population hold lists,
    with one value per member, each of the named `groups` of members gets a thick line for its mean,
    in a band of one standard deviation, and members, at most 16 of a group, get thin lines. A
    vertical line marks the best epoch.
    """
    figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    epochs = [record["epoch"] for record in records]
    for ax, (title, keys) in zip(axes, panels.items(), strict=True):
        for key in keys:
            values = [np.array(record.get(key, np.nan), float) for record in records]
            if any(value.ndim for value in values):
                members = np.stack(np.broadcast_arrays(*values))
                for name, group in groups.items():
                    _band(ax, epochs, members[:, group], f"{key} {name}")
            else:
                ax.plot(epochs, values, marker=".", label=key)
        if best_epoch is not None:
            name = f"best epoch, {best_epoch}"
            ax.axvline(best_epoch, color="0.4", linestyle="--", linewidth=1, label=name)
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small" if len(groups) < 3 else "xx-small")
    figure.savefig(path, dpi=100)


def histogram(path: Path, values: Float[np.ndarray, "members"], xlabel: str) -> None:
    """Plot how a metric is distributed over the members for which it is finite."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    ax = figure.subplots()
    finite = values[np.isfinite(values)]
    ax.hist(finite, bins=NUM_BINS if len(finite) > NUM_BINS else "auto")
    ax.set(xlabel=xlabel, ylabel="members")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    figure.savefig(path, dpi=100)


def throughput(
    path: Path,
    panels: Mapping[str, Mapping[str, Mapping[int, tuple[float, float, float]]]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Plot rates against sizes: a panel per title, a line per name.

    Each point is given as (median, minimum, maximum) of the measurements.
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
    some = values[:, spread_out(values.shape[1], NUM_SHOWN)]
    ax.plot(epochs, some, color=line.get_color(), linewidth=0.5, alpha=0.5)
    ax.fill_between(epochs, mean - std, mean + std, color=line.get_color(), alpha=0.2, linewidth=0)
