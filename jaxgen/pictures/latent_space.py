"""Pictures of a latent space, as figures that a notebook shows and `savefig` writes.

`generate` maps latents to images in [0, 1], as `run.generate` of an opened run does.
"""

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxgen.pictures import latents
from jaxgen.pictures.tables import DPI, FONT_SIZE, shorten, table

Latents = Float[np.ndarray, "n d"]
Images = Float[np.ndarray, "n h w c"]  # in [0, 1]
Generate = Callable[[Latents], Images]

STANDARD_DEVIATIONS = np.linspace(-3, 3, 11)
MAX_NAMED = 20  # classes that have a color and a name in a projection
MARKERS = "os^Dv"
LETTER, LINE = 0.025, 0.045  # width and height of text, as shares of a projection
COLORS = matplotlib.color_sequences["petroff10"]  # distinct for the color-blind (Petroff 2021)


def traversals(
    generate: Generate,
    mean: Latents,
    logvar: Latents,
    *,
    num_units: int = 10,
    values: Float[np.ndarray, "v"] = STANDARD_DEVIATIONS,
) -> Figure:
    """Vary the most active units one at a time, from the code of the first image.

    `mean` and `logvar` are of q(z | x) for many images. Each row names a unit, and its KL in nats.
    """
    units = latents.most_active(mean, num_units).tolist()
    kl = latents.unit_kl_nats(mean, logvar)
    z = np.concatenate([latents.traversal(mean[0], unit, values) for unit in units])
    return table(
        _rows(generate(z), len(units)),
        [f"unit {unit}: {kl[unit]:.2f} nats" for unit in units],
        [f"{value:.1f}" for value in values],
        xlabel="value of the unit, in standard deviations of the prior",
    )


def interpolations(
    generate: Generate,
    starts: Latents,
    ends: Latents,
    names: Sequence[str] = (),
    *,
    num_columns: int = 11,
) -> Figure:
    """Interpolate between pairs of latents: straight, and below it along a great circle.

    The pairs may have names.
    """
    ways = (latents.straight, latents.spherical)
    pairs = list(zip(starts, ends, strict=True))
    z = np.concatenate([way(start, end, num_columns) for start, end in pairs for way in ways])
    return table(
        _rows(generate(z), len(pairs) * len(ways)),
        [
            f"{way}, {name}" if name else way
            for name in names or [""] * len(pairs)
            for way in ("straight", "spherical")
        ],
        [f"{share:.0%}" for share in np.linspace(0, 1, num_columns)],
        xlabel="share of the way",
    )


def manifold(generate: Generate, *, num: int = 16) -> Figure:
    """Show the images of a 2-D latent space, at the quantiles of its prior."""
    names = [f"{value:.1f}" for value in latents.quantiles(num)]
    images = _rows(generate(latents.square(num)), num)
    return table(images, names[::-1], names, xlabel="first latent", ylabel="second latent")


def temperatures(
    generate: Generate,
    noise: Latents,
    *,
    values: Sequence[float] = (0.4, 0.6, 0.8, 1.0, 1.2),
) -> Figure:
    """Generate from the same noise ~ N(0, I) at several temperatures, which scale it."""
    images = generate(np.concatenate([value * noise for value in values]))
    return table(_rows(images, len(values)), [f"temperature {value:g}" for value in values])


def best_to_worst(images: Images, reconstructions: Images, *, num: int = 12) -> Figure:
    """Show images above their reconstructions, from the smallest error to the largest.

    The images are evenly spaced by rank; below each stands the root of its mean squared error.
    """
    error = np.sqrt(((images - reconstructions) ** 2).mean(axis=(1, 2, 3)))
    order = np.argsort(error, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(num, len(order))).round().astype(int)]
    return table(
        np.stack([images[chosen], reconstructions[chosen]]),
        ["image", "reconstruction"],
        [f"{value:.3f}" for value in error[chosen]],
        xlabel="error of a pixel, from the best to the worst image",
    )


def classes(
    generate: Callable[[Latents, Int[np.ndarray, "n"]], Images],
    noise: Latents,
    class_names: Sequence[str],
) -> Figure:
    """Generate images of each class, a row for each, all from the same noise."""
    labels = np.repeat(np.arange(len(class_names)), len(noise))
    images = generate(np.tile(noise, (len(class_names), 1)), labels)
    return table(_rows(images, len(class_names)), class_names)


def class_interpolation(
    mixture: Callable[[Float[np.ndarray, "n k"], Latents], Images],
    noise: Float[np.ndarray, "d"],
    class_names: Sequence[str],
    *,
    num_columns: int = 11,
) -> Figure:
    """Interpolate from each class to the next, with the same noise.

    `mixture` maps weights of the classes, and latents, to images.
    """
    one_hot, num = np.eye(len(class_names)), len(class_names)
    weights = [
        latents.straight(one_hot[label], one_hot[(label + 1) % num], num_columns)
        for label in range(num)
    ]
    z = np.tile(noise, (num * num_columns, 1))
    names = [shorten(name) for name in class_names]
    return table(
        _rows(mixture(np.concatenate(weights), z), num),
        [f"{name} to {names[(label + 1) % num]}" for label, name in enumerate(names)],
        [f"{share:.0%}" for share in np.linspace(0, 1, num_columns)],
        xlabel="weight of the second class",
    )


def projection(mean: Latents, label: Int[np.ndarray, "n"], class_names: Sequence[str]) -> Figure:
    """Project posterior means onto their first two principal components, colored by class.

    Classes also differ by their markers, and are named at their medians.
    """
    points, share = latents.principal_components(mean)
    figure = Figure(figsize=(6.5, 5.5), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    is_named = 1 < len(class_names) <= MAX_NAMED
    present: list[int] = np.unique(label).tolist()
    for number in present:
        color = COLORS[number % len(COLORS)] if is_named else COLORS[0]
        marker = MARKERS[number % len(MARKERS)] if is_named else "o"
        own = points[label == number]
        ax.scatter(*own.T, s=14, color=color, marker=marker, alpha=0.7, linewidths=0)
    if is_named:
        names = [shorten(class_names[number]) for number in present]
        medians = np.stack([np.median(points[label == number], axis=0) for number in present])
        extent = np.maximum(np.ptp(points, axis=0), 1e-9) * [max(map(len, names)) * LETTER, LINE]
        for name, (x, y) in zip(names, latents.apart(medians / extent) * extent, strict=True):
            _name_place(ax, name, x, y)
    ax.set_xlabel(f"first principal component ({share[0]:.0%} of the variance)")
    ax.set_ylabel(f"second principal component ({share[1]:.0%} of the variance)")
    ax.grid(alpha=0.3)
    return figure


def _name_place(ax: Axes, name: str, x: float, y: float) -> None:
    style = {"fontsize": FONT_SIZE + 3, "weight": "bold", "ha": "center", "va": "center"}
    text = ax.text(x, y, name, parse_math=False, **style)
    text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])


def _rows(images: Images, num_rows: int) -> Float[np.ndarray, "rows columns h w c"]:
    return images.reshape(num_rows, -1, *images.shape[1:])
