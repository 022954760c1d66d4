"""Notices about what a run should hold, and does not."""

from collections.abc import Sequence
from pathlib import Path

from jaxgen.runs import directory
from jaxgen.runs.records import Record
from jaxgen.training.checkpoint import Damaged


def notices(
    run_dir: Path,
    step: int,
    damaged: Sequence[Damaged],
    lines: Sequence[Record],
    steps_per_epoch: int,
) -> list[str]:
    """Name the later checkpoints that are damaged or missing, and earlier epochs without a line.

    `step` is that of the checkpoint in use, and `lines` include those that it committed. A line is
    written after its checkpoint, and therefore tells of one that is missing.
    """
    use = f"using the checkpoint of step {step}"
    found = [f"{reason}: {use}" for _, reason in damaged]
    later = max((line["step"] for line in lines), default=0)
    if later > max([step, *(each.step for each in damaged)]):
        manifest = directory.checkpoints_path(run_dir) / f"{later}.json"
        found.append(f"{manifest} is missing: {use}")
    epochs = range(1, step // steps_per_epoch + 1)
    if lacking := sorted(set(epochs) - {line["epoch"] for line in lines}):
        numbers = ", ".join(map(str, lacking))
        found.append(f"{directory.metrics_path(run_dir)} lacks the line of epoch {numbers}")
    return found
