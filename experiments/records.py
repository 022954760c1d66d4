"""What a run leaves of each epoch: a line in its records, of one run or of a whole population."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from rich.progress import Progress
from rich.table import Table

from experiments.members import differences, members, settings
from jaxgen.errors import InputError
from jaxgen.training import loop
from jaxgen.training.population import best_member, summarise
from jaxgen.types import State

Values = Mapping[str, np.ndarray]  # of each metric: [], or [members]


class Epoch(NamedTuple):
    """What an epoch has brought."""

    state: State  # given away to the next epoch
    number: int  # counted from 1
    step: int  # updates so far
    seconds: float  # of training
    metrics: Values  # means over its steps
    diverged: dict[int, int]  # members, and the step at which a metric was not finite


def epochs(
    progress: Progress,
    chunks: Iterator[loop.Chunk],
    shape: loop.EpochShape,
    num_epochs: int,
    diverged: Mapping[int, int],
) -> Iterator[Epoch]:
    """The epochs of a run's chunks; shows how it goes.

    Members that diverge, or have `diverged` before, are named and have NaN for metrics. Raises
    InputError that names the first step with a metric that is not finite if nobody is left.
    """
    task = progress.add_task("", total=num_epochs * shape.num_steps, status="compiling")
    of_epoch, diverged = [], dict(diverged)
    for chunk in chunks:
        first_step = chunk.step - shape.chunk_steps
        steps = np.atleast_1d(first_not_finite(chunk.metrics))
        for member in set(np.flatnonzero(steps >= 0).tolist()) - diverged.keys():
            step = diverged[member] = first_step + int(steps[member])
            names = [
                name
                for name, values in chunk.metrics.items()
                if not np.isfinite(values.reshape(len(steps), -1)[member, steps[member]])
            ]
            what = f"{', '.join(names)} not finite at step {step}"
            if len(diverged) == len(steps):
                raise InputError(
                    f"{what}: stopped, with the last good checkpoint kept. Try a smaller "
                    "--learning-rate."
                )
            progress.console.print(f"[yellow]member {member} is frozen:[/] {what}; others go on")
        of_epoch.append(chunk)
        going_on = [member for member in range(len(steps)) if member not in diverged]
        rate = len(going_on) * shape.chunk_steps * shape.batch_size / chunk.seconds
        losses = {
            name.replace("_loss", ""): values.reshape(len(steps), -1)[going_on].mean()
            for name, values in chunk.metrics.items()
            if name.endswith("loss")
        }
        status = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        progress.update(task, completed=chunk.step, status=f"{status}, {rate:,.0f} images/s")
        if chunk.ends_epoch:
            means = {
                name: np.mean([chunk.metrics[name] for chunk in of_epoch], axis=(0, -1))
                for name in chunk.metrics
            }
            seconds = sum(chunk.seconds for chunk in of_epoch)
            of_epoch = []
            number = chunk.epoch + 1
            yield Epoch(chunk.state, number, chunk.step, seconds, means, dict(diverged))


def first_not_finite(metrics: Values) -> Int[np.ndarray, "*m"]:
    """The first step at which a run has a metric that is NaN or infinite, or -1."""
    finite = np.all([np.isfinite(values) for values in metrics.values()], axis=0)
    return np.where(finite.all(-1), -1, finite.argmin(-1))


def record_of(epoch: Epoch, test: Values, best: str, mode: Literal["min", "max"]) -> dict[str, Any]:
    """The epoch's line of `metrics.jsonl`.

    For a population each metric is a list, null for who has diverged, and there are a `summary` of
    each and the `best_member`. Raises InputError if nobody has a metric that is finite.
    """
    values = {f"train/{name}": np.asarray(value) for name, value in epoch.metrics.items()}
    values |= {f"test/{name}": np.asarray(value) for name, value in test.items()}
    record = {
        "epoch": epoch.number,
        "step": epoch.step,
        "seconds": round(epoch.seconds, 3),  # of training alone
        "time": round(time.time(), 3),
    }
    values = {name: value.astype(float) for name, value in values.items()}
    for member in epoch.diverged:
        for value in values.values():
            value[member] = np.nan
    not_finite = [name for name, value in values.items() if not np.isfinite(value).any()]
    if not_finite:
        raise InputError(
            f"{', '.join(not_finite)} not finite after step {epoch.step}: stopped, with the last "
            "good checkpoint kept. Try a smaller --learning-rate."
        )
    if not values[best].ndim:
        return record | {name: float(value) for name, value in values.items()}
    return record | {
        **{name: [_plain(x) for x in value.tolist()] for name, value in values.items()},
        "summary": {
            name: {key: _plain(x) for key, x in summarise(value)._asdict().items()}
            for name, value in values.items()
        },
        "best_member": best_member(values[best], mode),
        "diverged": {str(member): step for member, step in epoch.diverged.items()},
    }


def diverged_before(steps: Int[np.ndarray, "*m"], records: list[dict[str, Any]]) -> dict[int, int]:
    """Who has diverged: the members whose states are behind, and where the records say it was."""
    behind = np.flatnonzero(steps < steps.max()).tolist()
    told = records[-1].get("diverged", {}) if records else {}
    return {member: told.get(str(member), int(steps[member])) for member in behind}


def member_record(record: Mapping[str, Any], member: int) -> dict[str, Any]:
    """The record that one member of a population would have written by itself."""
    return {
        name: value[member] if isinstance(value, list) else value
        for name, value in record.items()
        if name not in ("summary", "best_member", "diverged")
    }


def told(record: Mapping[str, Any], name: str, spec: str, sign: int = 1) -> str:
    """A metric for the eye; of a population, mean and standard deviation."""
    if "summary" not in record:
        return f"{sign * record[name]:{spec}}"
    summary = record["summary"][name]
    return f"{sign * summary['mean']:{spec}} ± {summary['std']:{spec}}"


def members_table(record: Mapping[str, Any], config: Any, metric: str) -> Table:
    """What each member of a population has reached, the best one in bold.

    Below, mean and standard deviation over the seeds of each setting of the sweep.
    """
    swept, values = differences(config), np.array(record[metric], float)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("member", "seed", *swept[0], metric):
        table.add_column(column, justify="right")
    for member, (config_of_member, own) in enumerate(zip(members(config), swept, strict=True)):
        step = record["diverged"].get(str(member))
        result = f"{values[member]:.5g}" if step is None else f"frozen at step {step}"
        style = "bold" if member == record["best_member"] else None
        seed = str(config_of_member.run.seed)
        table.add_row(str(member), seed, *_numbers(own), result, style=style)
    for those in settings(config).values():
        summary = summarise(values[those])
        if len(those) > 1 and np.isfinite(summary.mean):
            result = f"{summary.mean:.5g} ± {summary.std:.2g}"
            table.add_row("mean", f"of {len(those)}", *_numbers(swept[those[0]]), result)
    return table


def _numbers(own: Mapping[str, float]) -> list[str]:
    return [f"{value:g}" for value in own.values()]


def _plain(x: float) -> float | None:
    """JSON knows no NaN."""
    return x if math.isfinite(x) else None
