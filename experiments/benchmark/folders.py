"""The time and memory of reading, caching and streaming a large folder of images.

    python -m experiments.benchmark.folders --output experiments/results/folder_cpu.json

Random JPEGs of 64x64 pixels in ten classes are written to a temporary folder first. Memory is the
largest anonymous part of the process (RssAnon of Linux), in which mapped files do not count.
"""

import contextlib
import dataclasses
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
import tyro
from PIL import Image

from jaxgen import console, data
from jaxgen.runs.environment import environment
from jaxgen.training import loop
from jaxgen.training.sharding import layout
from jaxgen.training.streaming import stream

NUM_CLASSES = 10
BATCH_SIZE = 64
STREAM_SECONDS = 10
SECONDS_BETWEEN_LOOKS = 0.02

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure how fast a folder of images is read, cached and streamed, and in how much memory."""

    num_images: int = 200_000
    """Number of images."""
    size: int = 64
    """Their height and width, with three channels."""
    output: Path | None = None
    """JSON file for the results; None: only print them."""


def write_images(folder: Path, num_images: int, size: int) -> None:
    """Write JPEGs that look like photographs to a compressor: smooth, with some noise."""
    rng = np.random.default_rng(0)
    for label in range(NUM_CLASSES):
        (folder / f"class_{label}").mkdir(parents=True)
    for number in range(num_images):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        path = folder / f"class_{number % NUM_CLASSES}" / f"{number:06d}.jpg"
        image.save(path, quality=90)


def anonymous_bytes() -> int:
    """Return the anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("Only Linux tells the anonymous memory of a process.")


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Watch the anonymous memory of this process; the function returns the largest so far."""
    peak, done = [anonymous_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            peak[0] = max(peak[0], anonymous_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: max(peak[0], anonymous_bytes())
    finally:
        done.set()
        thread.join()


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Call a function; also return the seconds that it takes."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def measure(folder: Path, size: int) -> dict[str, int | float]:
    """Read a folder for the first and the second time, and stream its training images."""

    def read() -> tuple[int, data.Source]:
        source = data.find(folder, data.Preparation(size))
        splits = [data.read(source, split, mapped=True) for split in ("train", "test")]
        return sum(len(split.label) for split in splits), source

    with peak_memory() as peak:
        (num_images, source), first = timed(read)
        memory_of_reading = peak()
        _, second = timed(read)
        train = data.read(source, "train", mapped=True)
        shape = loop.epoch_shape(len(train.label), BATCH_SIZE)
        chunks = stream(train, loop.split_run_key(jax.random.key(0)).order, shape, layout())(0)
        jax.block_until_ready(next(chunks))
        start, num_chunks = time.perf_counter(), 0
        while time.perf_counter() - start < STREAM_SECONDS:
            jax.block_until_ready(next(chunks))
            num_chunks += 1
        seconds = time.perf_counter() - start
        return {
            "num_images": num_images,
            "first_read_seconds": first,
            "first_read_images_per_second": num_images / first,
            "second_read_seconds": second,
            "streamed_images_per_second": num_chunks * shape.chunk_steps * BATCH_SIZE / seconds,
            "peak_anonymous_bytes_of_reading": memory_of_reading,
            "peak_anonymous_bytes": peak(),
        }


def main(config: Config) -> None:
    """Write the images, measure, print the results and write them as JSON."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        write_images(images, config.num_images, config.size)
        results = measure(images, config.size)
    machine = environment() | {"load_before": load}  # other processes that compete for the cores
    record = {"environment": machine, "size": config.size, "results": results}
    text = json.dumps(record, indent=2)
    print(text)
    if config.output is not None:
        config.output.write_text(text + "\n")


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, prog="python -m experiments.benchmark.folders"))
