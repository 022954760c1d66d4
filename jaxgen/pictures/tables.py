"""Tables of images, with names of rows and columns."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

CELL = 0.45  # inches
GAP = 0.06  # of an image
NAME_LENGTH = 28  # characters; longer names are cut
FONT_SIZE = 10
DPI = 150


def table(
    images: Float[np.ndarray, "rows columns h w c"],
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    *,
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """Draw images in [0, 1] with names to the left of the rows and below the columns."""
    num_rows, num_columns, height, width, _ = images.shape
    canvas, step_y, step_x = _tile(images)
    row_names = [shorten(name) for name in row_names]
    inner = CELL * num_columns, CELL * num_rows * height / width
    overhang = (_inches(xlabel) - inner[0]) / 2 + 0.1
    margin = max(0.2 + max(map(_inches, row_names), default=0) + 0.3 * bool(ylabel), overhang)
    top = 0.1
    bottom = 0.1 + 0.22 * bool(column_names) + 0.22 * bool(xlabel)
    size = margin + inner[0] + max(0.15, overhang), top + inner[1] + bottom
    figure = Figure(figsize=size, dpi=DPI)
    ax = figure.add_axes(
        (margin / size[0], bottom / size[1], inner[0] / size[0], inner[1] / size[1])
    )
    ax.imshow(canvas, interpolation="nearest", aspect="auto")
    places = (np.arange(num_rows) * step_y + height / 2 - 0.5)[: len(row_names)]
    ax.set_yticks(places, row_names, fontsize=FONT_SIZE, parse_math=False)
    places = (np.arange(num_columns) * step_x + width / 2 - 0.5)[: len(column_names)]
    ax.set_xticks(places, list(column_names), fontsize=FONT_SIZE, parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(xlabel, fontsize=FONT_SIZE)
    ax.set_ylabel(ylabel, fontsize=FONT_SIZE)
    return figure


def shorten(name: str) -> str:
    """Cut a long name, and show that it was cut."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _inches(text: str) -> float:
    plain = text.replace("$", "S")  # no formula
    return TextPath((0, 0), plain, size=FONT_SIZE).get_extents().width / 72 if text else 0.0


def _tile(
    images: Float[np.ndarray, "rows columns h w c"],
) -> tuple[Float[np.ndarray, "height width 3"], int, int]:
    """Arrange the images on white; also return the distances between rows and columns."""
    num_rows, num_columns, height, width, _ = images.shape
    gap = max(1, round(GAP * width))
    canvas = np.ones((num_rows, height + gap, num_columns, width + gap, 3))
    shown = np.nan_to_num(images, nan=0.5).clip(0, 1)  # NaN is gray
    canvas[:, :height, :, :width] = np.moveaxis(shown, 1, 2)
    flat = canvas.reshape(num_rows * (height + gap), num_columns * (width + gap), 3)
    return flat[:-gap, :-gap], height + gap, width + gap
