"""What a checkpoint records beside its state: lines of metrics, and the totals of an epoch."""

from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import InputError
from jaxgen.runner.epochs import Totals
from jaxgen.runs.records import Record, is_record
from jaxgen.training import checkpoint
from jaxgen.types import JsonObject


class Saved(NamedTuple):
    """The position of a run in its records."""

    lines: tuple[Record, ...] = ()
    """Those of the epochs since the checkpoint before."""
    totals: Totals = Totals()
    """Those of an unfinished epoch."""

    def to_json(self) -> JsonObject:
        """Convert to JSON values, from which `read` restores this exactly."""
        return {"lines": list(self.lines), "totals": self.totals.to_json()}


def read(checkpoints: Path, step: int, num_members: int | None) -> Saved:
    """Read what a checkpoint of a single run or a population records.

    Raises InputError if that is not what `Saved.to_json` returns.
    """
    extra = checkpoint.read_extra(checkpoints, step)
    try:
        saved = Saved(tuple(extra["lines"]), Totals.from_json(extra["totals"]))
        if all(map(is_record, saved.lines)) and _fits(saved.totals, num_members):
            return saved
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        pass
    raise InputError(
        f"{checkpoints / f'{step}.json'} is not by this version of jaxgen: delete it to use the "
        "checkpoint before it."
    )


def _fits(totals: Totals, num_members: int | None) -> bool:
    shape = () if num_members is None else (num_members,)
    return (
        type(totals.num_chunks) is int
        and totals.num_chunks >= 0
        and isinstance(totals.seconds, int | float)
        and all(total.shape == shape for total in totals.metrics.values())
    )
