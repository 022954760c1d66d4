"""A picture of an evaluation: the latent dimensions in use, and the quality of each class."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgen.types import JsonObject

Results = JsonObject  # evaluation.json, or a part of it

BY_CLASS = {
    "recognized_by_class": "recognized as their class",
    "coverage_within_classes": "coverage within the class",
}


def evaluation(path: Path, results: Results) -> bool:
    """Draw the covariances of the latent dimensions, and figures by class beside the real test set.

    Of a population, means with standard deviations. Returns whether there was anything to draw.
    """
    draw = []
    if "likelihood" in results:
        draw.append(lambda ax: _units(ax, results["likelihood"]))
    if results.get("samples", {}).get("is_conditional"):
        part = results["samples"]
        draw += [lambda ax, name=name: _by_class(ax, part, name) for name in BY_CLASS]
    if not draw:
        return False
    figure = Figure(figsize=(5.5 * len(draw), 3.8), layout="constrained")
    for ax, panel in zip(figure.subplots(1, len(draw), squeeze=False)[0], draw, strict=True):
        panel(ax)
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    return True


def _units(ax: Axes, part: Results) -> None:
    single = part.get("members", [part])
    for member in single:
        covariance = member["active_units"]["covariance"]
        ax.plot(range(1, len(covariance) + 1), covariance, marker=".", linewidth=0.8, color="C0")
    threshold = single[0]["active_units"]["threshold"]
    ax.axhline(threshold, color="C1", linestyle="--", label=f"active above {threshold}")
    ax.set(title="activity of latent dimensions", xlabel="dimension", ylabel="Cov(E[z | x])")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize="small")


def _by_class(ax: Axes, part: Results, name: str) -> None:
    is_population = "members" in part["samples"]
    samples = part["samples"]["mean"] if is_population else part["samples"]
    errors = np.array(part["samples"]["std"][name], float) if is_population else None
    real = np.array(part["real_test_set"][name], float)
    places = np.arange(len(real))
    ax.bar(places - 0.2, np.array(samples[name], float), 0.4, yerr=errors, label="samples")
    ax.bar(places + 0.2, real, 0.4, label="real test set")
    ax.set(title=BY_CLASS[name], xlabel="class", ylim=(0, 1.2))
    ax.set_xticks(places, part["class_names"], rotation=45 if len(real) > 10 else 0)
    ax.legend(fontsize="small", loc="upper center", ncols=2)
