"""The cost of saving checkpoints, with as many images as MNIST has.

    python -m experiments.benchmark saving --output experiments/results/saving_cpu.json

A state is written while the next chunk of steps is trained, and committed after it, as in a run.
The digests alone are timed, too, so that the cost is known with and without them. A run does not
save each of several short epochs: the share of training is the cost of a checkpoint, divided by the
epochs from one to the next.
"""

import itertools
import math
import tempfile
from pathlib import Path
from typing import Any

import jax
from rich.table import Table

from experiments.benchmark.streams import epoch_shape, memory_mapped_images, training
from experiments.benchmark.tables import SAVING_COLUMNS, saving_cells
from experiments.benchmark.timing import Contender, interleave, summary
from experiments.benchmark.workloads import Workload
from jaxgen.runner.pace import SECONDS_BETWEEN_EPOCHS
from jaxgen.training import checkpoint


def cost(workload: Workload, rounds: int) -> dict[str, Any]:
    """Measure a chunk of steps with and without a checkpoint, in milliseconds."""
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory() as folder, checkpoint.open_checkpointer() as checkpointer:
        path = Path(folder) / "checkpoints"
        images = jax.device_put(memory_mapped_images(Path(folder), workload))
        unsaved, saved = training(workload, images), training(workload, images)
        last = next(saved)

        def train_and_save() -> None:
            nonlocal last
            number = next(numbers)
            checkpoint.save(checkpointer, path, number, last.state)
            last = next(saved)
            checkpoint.commit(checkpointer, path, number, 0.0, "min")

        def train() -> None:
            next(unsaved)

        def check_digests() -> None:
            assert not checkpoint.damage(path, checkpoint.steps(path)[-1])

        contenders = {
            "without": Contender(train, 1),
            "with": Contender(train_and_save, 1),
            "digests": Contender(check_digests, 1),
        }
        train()
        train_and_save()
        times = {name: summary(values) for name, values in interleave(contenders, rounds).items()}
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(last.state))
    chunk = times["without"]["median"]
    with_digests = times["with"]["median"] - chunk
    epoch = chunk * epoch_shape(workload).num_chunks
    num_epochs = math.ceil(1000 * SECONDS_BETWEEN_EPOCHS / epoch)
    costs = {"without": with_digests - times["digests"]["median"], "with": with_digests}
    return {
        "title": workload.title,
        "megabytes": size / 1e6,
        "milliseconds": times,
        "epoch_seconds": epoch / 1000,
        "epochs_between_checkpoints": num_epochs,
        "checkpoint_milliseconds": costs,
        "share_of_epoch": {name: value / epoch for name, value in costs.items()},
        "share_of_training": {name: value / epoch / num_epochs for name, value in costs.items()},
    }


def table(workloads: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", *SAVING_COLUMNS):
        result.add_column(column, justify="right")
    for record in workloads.values():
        result.add_row(record["title"], *saving_cells(record))
    return result
