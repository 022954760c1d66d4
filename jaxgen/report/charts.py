"""Charts of a page: lines over epochs or over the values of a sweep, drawn by script.js."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgen.report import words
from jaxgen.report.markup import Html, element, table
from jaxgen.runs.records import Record
from jaxgen.training.population import spread_out

MAX_POINTS = 250  # of a line
MAX_ROWS = 12  # of the table beside a chart
MAX_GROUPS = 6  # settings of a sweep that have a line
MAX_MEMBERS = 12  # that have a thin line


Style = Literal["solid", "dashed", "dotted", "thin", "points"]
UNNAMED: tuple[Style, ...] = ("thin", "points")  # styles whose values are not listed


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    x: Float[np.ndarray, "n"]
    y: Float[np.ndarray, "n"]  # NaN leaves a gap
    spread: Float[np.ndarray, "n"] | None = None
    """Half of the width of a band."""
    color: int = 0
    style: Style = "solid"


class Chart(NamedTuple):
    """A chart: lines, and optionally a marked place."""

    title: str
    xlabel: str
    lines: list[Line]
    mark: int | None = None
    """The place of a vertical line."""
    mark_name: str = ""
    log_x: bool = False


def values(records: Sequence[Record], key: str) -> Float[np.ndarray, "epochs *members"]:
    """Collect a metric; NaN where it is missing or null."""
    columns = [np.array(record.get(key, np.nan), float) for record in records]
    return np.stack(np.broadcast_arrays(*columns))


def of_run(
    records: Sequence[Record], panels: Mapping[str, Sequence[str]], best_epoch: int | None
) -> list[Chart]:
    """Chart the metrics of a single run: a chart for each panel."""
    epochs = _epochs(records)
    return [
        Chart(
            title,
            "epoch",
            [
                Line(name, epochs, values(records, key), color=number, style=_styles(keys)[key])
                for number, (key, name) in enumerate(_line_names(keys).items())
            ],
            best_epoch,
            "best epoch",
        )
        for title, keys in panels.items()
    ]


def of_population(
    records: Sequence[Record],
    panels: Mapping[str, Sequence[str]],
    groups: Mapping[str, list[int]],
    members: Sequence[int],
    best_epoch: int | None,
) -> list[Chart]:
    """Chart means of groups of members in bands of one standard deviation, and some members."""
    epochs = _epochs(records)
    charts = []
    for title, keys in panels.items():
        lines = []
        for key, metric in _line_names(keys).items():
            of_members = values(records, key)
            if of_members.ndim == 1:  # the same for all
                lines.append(Line(metric, epochs, of_members, style=_styles(keys)[key]))
                continue
            for color, (name, group) in enumerate(groups.items()):
                mean, std = mean_and_std(of_members[:, group])
                full_name = f"{metric}, {words.name(name)}" if name else metric
                lines.append(Line(full_name, epochs, mean, std, color, _styles(keys)[key]))
                lines += [
                    Line(f"{full_name}, member {m}", epochs, of_members[:, m], None, color, "thin")
                    for m in members
                    if m in group
                ]
        charts.append(Chart(title, "epoch", lines, best_epoch, "best mean, at epoch"))
    return charts


def of_runs(
    runs: Mapping[str, Sequence[Record]], panels: Mapping[str, Sequence[str]]
) -> list[Chart]:
    """Chart the metrics of several runs; of populations, means in bands."""
    charts = []
    for title, keys in panels.items():
        lines = []
        for color, (name, records) in enumerate(runs.items()):
            for key, metric in _line_names(keys).items():
                own, spread = values(records, key), None
                if own.ndim > 1:
                    own, spread = mean_and_std(own)
                if np.isfinite(own).any():
                    full_name = f"{name}: {metric}"
                    lines.append(
                        Line(full_name, _epochs(records), own, spread, color, _styles(keys)[key])
                    )
        charts.append(Chart(title, "epoch", lines))
    return charts


def of_sweep(
    option: str,
    settings: Sequence[float],
    scores: Float[np.ndarray, "members"],
    metric: str,
) -> Chart:
    """Chart the scores of members against an option of theirs, and the mean of each value."""
    x = np.array(settings, float)
    places = np.unique(x)
    mean, std = np.transpose([np.ravel(mean_and_std(scores[x == place][None])) for place in places])
    chosen = spread_out(len(x), MAX_POINTS)
    lines = [
        Line("members", x[chosen], scores[chosen], style="points"),
        Line("mean", places, mean, std, color=1),
    ]
    log_x = bool(places[0] > 0 and places[-1] >= 10 * places[0])
    return Chart(
        f"{words.name(metric)} by {words.name(option)}", words.name(option), lines, log_x=log_x
    )


def mean_and_std(
    members: Float[np.ndarray, "n m"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Compute mean and sample standard deviation of the finite values in each row."""
    masked = np.ma.masked_invalid(members)
    std = masked.std(axis=1, ddof=1) if members.shape[1] > 1 else 0 * masked.mean(axis=1)
    return tuple(np.ma.filled(part.astype(float), np.nan) for part in (masked.mean(axis=1), std))  # pyright: ignore[reportReturnType]


def chart(chart: Chart) -> Html:
    """Create the place of a chart, with its numbers for the script and a table for readers."""
    lines = [_thin_out(line, chart.mark) for line in chart.lines]
    numbers = {
        **chart._asdict(),
        "lines": [
            line._asdict()
            | {"x": _numbers(line.x), "y": _numbers(line.y)}
            | {"spread": None if line.spread is None else _numbers(line.spread)}
            for line in lines
        ],
    }
    text = json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c")
    return element(
        "figure",
        element("figcaption", chart.title),
        element("script", Html(text), type="application/json"),
        element("div", class_="plot"),
        element("details", element("summary", f"Numbers of “{chart.title}”"), _table(chart)),
        class_="chart",
    )


def _table(chart: Chart) -> Html:
    lines = [line for line in chart.lines if line.style not in UNNAMED]
    places = np.unique(np.concatenate([line.x for line in lines])) if lines else np.zeros(0)
    places = places[spread_out(len(places), MAX_ROWS)] if len(places) else places
    rows = [[f"{place:g}", *(_at(line, place) for line in lines)] for place in places]
    return table(chart.title, [chart.xlabel, *(line.name for line in lines)], rows)


def _at(line: Line, place: float) -> str:
    at = np.flatnonzero(line.x == place)
    if not len(at) or not np.isfinite(line.y[at[0]]):
        return ""
    spread = "" if line.spread is None else f" ± {line.spread[at[0]]:.2g}"
    return f"{line.y[at[0]]:.5g}{spread}"


def _thin_out(line: Line, mark: int | None) -> Line:
    kept = spread_out(len(line.x), MAX_POINTS)
    kept = np.union1d(kept, np.flatnonzero(line.x == mark))
    spread = None if line.spread is None else line.spread[kept]
    return line._replace(x=line.x[kept], y=line.y[kept], spread=spread)


def _numbers(array: Float[np.ndarray, "n"]) -> list[float | None]:
    return [float(f"{x:.5g}") if math.isfinite(x) else None for x in array.tolist()]


def _epochs(records: Sequence[Record]) -> Float[np.ndarray, "n"]:
    return np.array([record["epoch"] for record in records], float)


def _line_names(keys: Sequence[str]) -> dict[str, str]:
    """Name the metrics of a panel; if all are of one quantity, by their split alone."""
    splits, quantities = zip(*(key.rpartition("/")[::2] for key in keys), strict=True)
    is_shared = len(set(quantities)) == 1 and all(splits)
    return {
        key: split if is_shared else words.name(key)
        for key, split in zip(keys, splits, strict=True)
    }


def _styles(keys: Sequence[str]) -> dict[str, Style]:
    """Choose a style for each metric of a panel: dashed for training, if that tells them apart."""
    by_split: list[Style] = ["dashed" if key.startswith("train/") else "solid" for key in keys]
    by_order: tuple[Style, ...] = ("solid", "dashed", "dotted")
    if len(set(by_split)) < len(keys):
        by_split = [by_order[number % 3] for number in range(len(keys))]
    return dict(zip(keys, by_split, strict=True))
