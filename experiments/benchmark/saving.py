"""The cost of saving a checkpoint after an epoch of MNIST.

    python -m experiments.benchmark saving --output experiments/results/saving_cpu.json

A state is written while the next chunk of steps is trained, and committed after it, as in a run.
The digests alone are timed, too: without them, a damaged file would go unnoticed.
"""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import jax
from rich.table import Table

from experiments.benchmark.streams import epoch_shape, memory_mapped_images, training
from experiments.benchmark.timing import Contender, interleave, summary
from experiments.benchmark.workloads import Workload
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
    save = times["with"]["median"] - chunk
    epoch = chunk * epoch_shape(workload).num_chunks
    return {
        "title": workload.title,
        "megabytes": size / 1e6,
        "milliseconds": times,
        "epoch_seconds": epoch / 1000,
        "share_of_epoch": save / epoch,
        "share_without_digests": (save - times["digests"]["median"]) / epoch,
    }


def table(workloads: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "state, MB", "epoch, s", "one checkpoint, ms", "digests, ms", "share"):
        result.add_column(column, justify="right")
    for record in workloads.values():
        times = {name: values["median"] for name, values in record["milliseconds"].items()}
        result.add_row(
            record["title"],
            f"{record['megabytes']:.0f}",
            f"{record['epoch_seconds']:.1f}",
            f"{times['with'] - times['without']:.0f}",
            f"{times['digests']:.0f}",
            f"{record['share_of_epoch']:.2%}",
        )
    return result
