"""Curves of metrics over epochs, and of rates over sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxgen.runs.records import Record


def curves(
    path: Path,
    records: Sequence[Record],
    panels: Mapping[str, Sequence[str]],
    groups: Mapping[str, list[int]] = MappingProxyType({}),
) -> None:
    """Draw metrics over epochs: a panel per title, a line per key.

    A record without a key leaves a gap. Where a record holds a list, one value per member of a
    population, there is a thin line for each member and, for each of the named `groups` of members,
    a thick one for their mean in a band of one standard deviation; null leaves a gap.
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
    """Draw rates over sizes: a panel per title, a line per name.

    Each point is a (median, smallest, largest) value.
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
