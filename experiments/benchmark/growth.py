"""Time and memory of a training step against the size of the batch and of the images.

Each point is measured in a process of its own, for its peak memory. Usage of such a process:
`python -m experiments.benchmark.growth conv-vae 64 16`, with the image size and the batch size.
"""

import json
import subprocess
import sys
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from rich.table import Table

from experiments.benchmark.contenders import in_scan
from experiments.benchmark.startup import peak_memory_mib
from experiments.benchmark.tables import GROWTH_COLUMNS, growth_cells
from experiments.benchmark.timing import interleave
from experiments.benchmark.workloads import WORKLOADS, WorkloadName
from jaxgen import console

NUM_STEPS = 5  # in a scan; those of large images take seconds


class Point(NamedTuple):
    """The shape of the batches."""

    image_size: int
    batch_size: int


SERIES = {
    "pixels": [Point(size, 16) for size in (32, 64, 128, 256)],
    "batch": [Point(64, size) for size in (16, 32, 64, 128, 256)],
}


def cost(name: WorkloadName, rounds: int) -> dict[str, Any]:
    """Measure both series of a model, and fit their slopes in log-log coordinates."""
    points = dict.fromkeys(point for series in SERIES.values() for point in series)
    figures = {point: _start(name, point, rounds) for point in points}
    record: dict[str, Any] = {"title": WORKLOADS[name].model}
    for axis, series in SERIES.items():
        found = [figures[point] for point in series]
        sizes = [point.image_size**2 if axis == "pixels" else point.batch_size for point in series]
        record[axis] = {
            "points": [point._asdict() | figures[point] for point in series],
            "slopes": {name: slope(sizes, [figure[name] for figure in found]) for name in found[0]},
        }
    return record


def slope(x: list[int], y: list[float]) -> float:
    """Fit log y = slope · log x + constant by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _start(name: WorkloadName, point: Point, rounds: int) -> dict[str, float]:
    command = [sys.executable, "-m", "experiments.benchmark.growth", name, *map(str, point)]
    command += ["--rounds", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: WorkloadName, point: Point, rounds: int) -> dict[str, float]:
    """Time training steps, and measure by how much they raise this process's peak memory."""
    model = WORKLOADS[name]
    shape = (point.image_size, point.image_size, model.image_shape[-1])
    jax.devices()  # starts the backend, whose memory is not that of the step
    before = peak_memory_mib()
    contender = in_scan(
        model._replace(image_shape=shape, batch_size=point.batch_size), num_steps=NUM_STEPS
    )
    contender.run()
    times = interleave({"jaxgen": contender}, rounds)["jaxgen"]
    return {"milliseconds": median(times), "mebibytes": peak_memory_mib() - before}


def table(workloads: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in GROWTH_COLUMNS:
        result.add_column(column)
    for record in workloads.values():
        for axis in SERIES:
            result.add_row(*growth_cells(record, axis))
    return result


def main(
    workload: tyro.conf.Positional[WorkloadName],
    image_size: tyro.conf.Positional[int],
    batch_size: tyro.conf.Positional[int],
    rounds: int = 3,
) -> None:
    """Measure one point, and print the result as JSON."""
    print(json.dumps(measure(workload, Point(image_size, batch_size), rounds)))


if __name__ == "__main__":
    with console.report_errors():
        tyro.cli(main, prog="python -m experiments.benchmark.growth")
