"""The cost of streaming training images instead of keeping them on the device.

    python -m experiments.benchmark stream --output experiments/results/stream_cpu.json

The images are in a memory-mapped file, like those of a cached data set. The source only, without
training, shows how many images per second it can deliver.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table

from experiments.benchmark.timing import Contender, interleave, summary
from experiments.benchmark.workloads import CHUNK_STEPS, NUM_CLASSES, Workload, make_learner
from jaxgen.training import loop
from jaxgen.training.sharding import layout
from jaxgen.training.streaming import stream
from jaxgen.types import Batch

NUM_IMAGES = 60_000  # as many as MNIST has


def memory_mapped_images(folder: Path, workload: Workload) -> Batch:
    """Create random images in a memory-mapped file."""
    rng = np.random.default_rng(0)
    shape = (NUM_IMAGES, *workload.image_shape)
    image = np.lib.format.open_memmap(folder / "image.npy", "w+", np.uint8, shape)
    image[:] = rng.integers(0, 256, shape, dtype=np.uint8)
    label = rng.integers(0, NUM_CLASSES, NUM_IMAGES, dtype=np.int32)
    return Batch(image, label)  # pyright: ignore[reportArgumentType]  (NumPy arrays on the host)


def training(workload: Workload, data: Batch | loop.Stream) -> Iterator[loop.Chunk]:
    """Train like an experiment, but without end, on resident or streamed images."""
    learner, hypers = make_learner(workload)
    keys = loop.split_run_key(jax.random.key(0))
    return loop.fit(
        loop.trainer(learner.step),
        jax.jit(learner.init)(keys.init, hypers),
        data,
        keys,
        shape=epoch_shape(workload),
        num_epochs=10**6,
    )


def streamed(workload: Workload, images: Batch) -> loop.Stream:
    """Stream the images in the order in which the training loop would gather them."""
    key = loop.split_run_key(jax.random.key(0)).order
    return stream(images, key, epoch_shape(workload), layout())


def source_only(workload: Workload, images: Batch) -> Contender:
    """Build the contender that streams the images without training."""
    chunks = streamed(workload, images)(0)
    return Contender(lambda: jax.block_until_ready(next(chunks)), CHUNK_STEPS)


def epoch_shape(workload: Workload) -> loop.EpochShape:
    """Divide an epoch into chunks of the length that all benchmarks use."""
    num_chunks = NUM_IMAGES // workload.batch_size // CHUNK_STEPS
    return loop.EpochShape(num_chunks, CHUNK_STEPS, workload.batch_size)


def contenders(workload: Workload, images: Batch) -> dict[str, Contender]:
    """Build the contenders: training from memory, training from a stream, and the source only."""
    resident = training(workload, jax.device_put(images))
    from_disk = training(workload, streamed(workload, images))
    return {
        "memory": Contender(lambda: _advance(resident), CHUNK_STEPS),
        "stream": Contender(lambda: _advance(from_disk), CHUNK_STEPS),
        "source only": source_only(workload, images),
    }


def _advance(chunks: Iterator[loop.Chunk]) -> None:
    next(chunks)  # the metrics of a chunk are on the host, so its steps are done


def cost(workload: Workload, rounds: int) -> dict[str, Any]:
    """Measure the milliseconds per step of each contender, and the images per second."""
    with tempfile.TemporaryDirectory() as folder:
        built = contenders(workload, memory_mapped_images(Path(folder), workload))
        for contender in built.values():
            contender.run()
        steps = {name: summary(times) for name, times in interleave(built, rounds).items()}
    return {
        "title": workload.title,
        "milliseconds_per_step": steps,
        "stream_to_memory": steps["stream"]["median"] / steps["memory"]["median"],
        "source_images_per_second": 1000 * workload.batch_size / steps["source only"]["median"],
    }


def table(workloads: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "memory, ms/step", "stream, ms/step", "ratio", "source, images/s"):
        result.add_column(column, justify="right")
    for record in workloads.values():
        steps = record["milliseconds_per_step"]
        result.add_row(
            record["title"],
            *(f"{steps[name]['median']:.2f}" for name in ("memory", "stream")),
            f"{record['stream_to_memory']:.3f}",
            f"{record['source_images_per_second']:,.0f}",
        )
    return result
