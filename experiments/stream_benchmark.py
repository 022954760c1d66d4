"""What it costs to stream training images instead of keeping them on the device.

    python -m experiments.benchmark stream --output experiments/results/stream_cpu.json

The images lie in a memory-mapped file of 28x28 pixels and are padded on the way, as MNIST is. The
source alone, without a training step, says how many images a second it can deliver at most.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from rich.table import Table

from experiments.contenders import CHUNK_STEPS, Contender, Workload, make_learner
from experiments.turns import interleave, summary
from jaxgen import data
from jaxgen.training import loop
from jaxgen.training.devices import layout
from jaxgen.training.streaming import stream
from jaxgen.types import Batch

NUM_IMAGES = 60_000


def source(folder: Path) -> Batch:
    """As many images as MNIST has, random ones, in a file."""
    rng = np.random.default_rng(0)
    image = np.lib.format.open_memmap(folder / "image.npy", "w+", np.uint8, (NUM_IMAGES, 28, 28, 1))
    image[:] = rng.integers(0, 256, image.shape, dtype=np.uint8)
    label = rng.integers(0, 10, NUM_IMAGES, dtype=np.int32)
    return Batch(image, label)  # pyright: ignore[reportArgumentType]


def training(workload: Workload, images: Batch, *, streamed: bool) -> Contender:
    """An experiment's loop over chunks, its images in memory or streamed."""
    learner, hypers = make_learner(workload)
    keys = loop.split_run_key(jax.random.key(0))
    padded = data.pad_to(images, workload.image_shape[0])
    chunks = loop.fit(
        loop.trainer(learner.step),
        jax.jit(learner.init)(keys.init, hypers),
        chunks_of(workload, images) if streamed else jax.device_put(padded),
        keys,
        shape=epoch_shape(workload),
        num_epochs=10**6,
    )

    def run() -> None:
        next(chunks)

    return Contender(run, CHUNK_STEPS)


def alone(workload: Workload, images: Batch) -> Contender:
    """The stream with nobody to train on it."""
    chunks = chunks_of(workload, images)(0)

    def run() -> None:
        jax.block_until_ready(next(chunks))

    return Contender(run, CHUNK_STEPS)


def chunks_of(workload: Workload, images: Batch) -> loop.Stream:
    """The images as a stream for this workload."""
    key = loop.split_run_key(jax.random.key(0)).order

    def pad(batch: Batch) -> Batch:
        return data.pad_to(batch, workload.image_shape[0])

    return stream(images, key, epoch_shape(workload), layout(), pad)


def epoch_shape(workload: Workload) -> loop.EpochShape:
    """Chunks of the length that all benchmarks take."""
    num_chunks = NUM_IMAGES // workload.batch_size // CHUNK_STEPS
    return loop.EpochShape(num_chunks, CHUNK_STEPS, workload.batch_size)


def cost(workload: Workload, rounds: int) -> dict[str, Any]:
    """Milliseconds a step from memory and streamed, and the source's images a second."""
    with tempfile.TemporaryDirectory() as folder:
        images = source(Path(folder))
        contenders = {
            "memory": training(workload, images, streamed=False),
            "stream": training(workload, images, streamed=True),
            "source alone": alone(workload, images),
        }
        for contender in contenders.values():
            contender.run()
        steps = {name: summary(of) for name, of in interleave(contenders, rounds).items()}
    source_alone = median(steps["source alone"]["rounds"])
    return {
        "title": workload.title,
        "milliseconds_per_step": steps,
        "stream_to_memory": steps["stream"]["median"] / steps["memory"]["median"],
        "source_images_per_second": 1000 * workload.batch_size / source_alone,
    }


def table(workloads: dict[str, Any]) -> Table:
    """The results as the terminal shows them."""
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
