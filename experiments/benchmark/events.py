"""The time that TensorBoard's event files take of an epoch.

    python -m experiments.benchmark.events runs/vae-1

The epochs of a run are written once more, one after the other, to a temporary folder: its metrics,
and the samples of each epoch.
"""

import statistics
import tempfile
import time
from pathlib import Path

import tyro

from jaxgen import console
from jaxgen.errors import InputError
from jaxgen.runs import records, tensorboard


def measure(run_dir: Path) -> list[float]:
    """Time each epoch of a run, in milliseconds. Raises InputError if it has none."""
    tensorboard.require()
    from tensorboardX import SummaryWriter

    lines, milliseconds = records.read_metrics(run_dir), []
    if not lines:
        raise InputError(f"{run_dir} has no epochs: name a run that was trained.")
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        for line in lines:
            start = time.perf_counter()
            tensorboard.add(writer, run_dir, [line])
            milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds


def main(run_dir: tyro.conf.Positional[Path]) -> None:
    """Measure, and print the median and the maximum over the epochs of a run."""
    times = measure(run_dir)
    print(
        f"{statistics.median(times):.1f} ms an epoch, at most {max(times):.1f} ms "
        f"({len(times)} epochs of {run_dir})"
    )


if __name__ == "__main__":
    with console.report_errors():
        tyro.cli(main, prog="python -m experiments.benchmark.events")
