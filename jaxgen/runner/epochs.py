"""The metrics of an epoch: means over its steps, and its line in metrics.jsonl."""

import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxgen.errors import InputError
from jaxgen.runs.records import Record
from jaxgen.training.loop import Chunk
from jaxgen.training.population import best_member, summarize
from jaxgen.types import JsonObject, Mode

Values = Mapping[str, np.ndarray]  # of each metric: [], or [members]
Diverged = dict[int, int]  # diverged members, and the step at which a metric was first not finite


class Totals(NamedTuple):
    """Sums over the chunks of an epoch so far."""

    metrics: Values = MappingProxyType({})
    num_chunks: int = 0
    seconds: float = 0.0

    def add(self, chunk: Chunk) -> "Totals":
        """Add a chunk to the totals."""
        metrics = {
            name: np.asarray(self.metrics.get(name, 0.0) + values.mean(axis=-1, dtype=float))
            for name, values in chunk.metrics.items()
        }
        return Totals(metrics, self.num_chunks + 1, self.seconds + chunk.seconds)

    def to_json(self) -> dict[str, object]:
        """Convert to JSON values, from which `from_json` restores the totals exactly."""
        metrics = {name: total.tolist() for name, total in self.metrics.items()}
        return self._replace(metrics=metrics)._asdict()  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, values: JsonObject) -> "Totals":
        """Restore the totals from the result of `to_json`."""
        metrics = {name: np.array(total, float) for name, total in values["metrics"].items()}
        return cls(metrics, values["num_chunks"], values["seconds"])

    def member(self, member: int) -> "Totals":
        """Return the totals of one member of a population."""
        return self._replace(metrics={name: x[member] for name, x in self.metrics.items()})

    @property
    def means(self) -> Values:
        """The mean of each metric over the steps."""
        return {name: np.asarray(x / self.num_chunks) for name, x in self.metrics.items()}


def newly_diverged(chunk: Chunk, diverged: Diverged) -> dict[int, tuple[int, list[str]]]:
    """Find members that diverge in a chunk, with the step and the metrics that are not finite.

    A single run is member 0.
    """
    at = np.atleast_1d(chunk.first_not_finite)
    chunk_steps = next(iter(chunk.metrics.values())).shape[-1]
    new = {}
    for member in set(np.flatnonzero(at >= 0).tolist()) - diverged.keys():
        names = [
            name
            for name, values in chunk.metrics.items()
            if not np.isfinite(values.reshape(len(at), -1)[member, at[member]])
        ]
        new[member] = chunk.step - chunk_steps + int(at[member]), names
    return new


def diverged_before(steps: Int[np.ndarray, "*m"], records: list[Record]) -> Diverged:
    """Find the members whose states are behind, with the step of divergence in the records."""
    behind = np.flatnonzero(steps < steps.max()).tolist()
    recorded = records[-1].get("diverged", {}) if records else {}
    return {member: recorded.get(str(member), int(steps[member])) for member in behind}


def make_record(
    epoch: int,
    step: int,
    totals: Totals,
    test: Values,
    diverged: Diverged,
    best: str,
    mode: Mode,
) -> Record:
    """Make the line of an epoch, counted from 1; epoch 0 is before the first update.

    For a population, each metric is a list with null for members that have diverged, and there are
    a `summary` of each metric and the `best_member`. Raises InputError if a metric is finite for no
    member.
    """
    values = {f"train/{name}": np.array(value, float) for name, value in totals.means.items()}
    values |= {f"test/{name}": np.array(value, float) for name, value in test.items()}
    record: dict[str, object] = {
        "epoch": epoch,
        "step": step,
        "seconds": round(totals.seconds, 3),  # of training only
        "time": round(time.time(), 3),
    }
    for member in diverged:
        for value in values.values():
            value[member] = np.nan
    if names := [name for name, value in values.items() if not np.isfinite(value).any()]:
        raise InputError(f"{', '.join(names)} not finite after step {step}. {DIVERGED}")
    if not values[best].ndim:
        return record | {name: float(value) for name, value in values.items()}
    return record | {
        **{name: [_json(x) for x in value.tolist()] for name, value in values.items()},
        "summary": {
            name: {key: _json(x) for key, x in summarize(value)._asdict().items()}
            for name, value in values.items()
        },
        "best_member": best_member(values[best], mode),
        "diverged": {str(member): step for member, step in diverged.items()},
    }


DIVERGED = (
    "Training has diverged and is stopped; the last good checkpoint is kept. Start a new run with "
    "a smaller --learning-rate."
)


def score(record: Record, metric: str) -> float:
    """Return a metric of a record; for a population, its mean."""
    return record["summary"][metric]["mean"] if "summary" in record else record[metric]


def best_epoch(records: Sequence[Record], metric: str, mode: Mode) -> int | None:
    """Return the epoch with the best finite score; None if there is none."""
    scores = [x if (x := score(record, metric)) is not None else np.nan for record in records]
    best = best_member(np.array(scores, float), mode)
    return None if best is None else records[best]["epoch"]


def member_record(record: Record, member: int) -> Record:
    """Convert a record of a population to that of one member as a single run."""
    return {
        name: value[member] if isinstance(value, list) else value
        for name, value in record.items()
        if name not in ("summary", "best_member", "diverged")
    }


def _json(x: float) -> float | None:
    """Replace NaN and infinity, which JSON lacks, by None."""
    return x if math.isfinite(x) else None
