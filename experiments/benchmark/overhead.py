"""The cost of an epoch of the VAE experiment, compared with the bare scan over the same steps.

Usage: `python -m experiments.benchmark.overhead --model mlp --dataset mnist`.
"""

import dataclasses
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import tyro

from jaxgen import console, data
from jaxgen.errors import InputError
from jaxgen.runs.records import read_metrics
from jaxgen.training import loop
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE

IMAGE_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare an epoch of `python -m experiments.vae_mnist` with a scan that does nothing else."""

    model: Literal["conv", "mlp"] = "conv"
    """The convolutional or the MLP VAE."""
    dataset: str = "mnist_5k"
    """A data set that is built in or already prepared."""
    batch_size: int = 64
    """Images per update."""
    epochs: int = 6
    """Epochs per measurement, at least 2; the first one compiles and is not counted."""


def experiment_seconds(config: Config) -> list[float]:
    """Time each epoch but the first, including evaluation, pictures and checkpoint."""
    options = [f"--{name.replace('_', '-')}={x}" for name, x in dataclasses.asdict(config).items()]
    with tempfile.TemporaryDirectory() as directory:
        run_dir = Path(directory) / "run"
        own = [*options, f"--run-dir={run_dir}", "--no-report"]
        command = [sys.executable, "-m", "experiments.vae_mnist", *own]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return np.diff([record["time"] for record in read_metrics(run_dir)]).tolist()


def bare_seconds(config: Config) -> list[float]:
    """Time each epoch but the first, where an epoch is one scan and nothing else."""
    images = jax.device_put(data.load(config.dataset, "train", image_size=IMAGE_SIZE))
    num_images, *image_shape = images.image.shape
    chunked = loop.epoch_shape(num_images, config.batch_size)
    whole = loop.EpochShape(1, chunked.num_steps, config.batch_size)
    model = {"conv": ConvVAE, "mlp": MLPVAE}[config.model](tuple(image_shape))
    learner = vae(model, objectives.bernoulli())
    keys = loop.split_run_key(jax.random.key(0))
    state = jax.jit(learner.init)(keys.init, Hypers())
    train = jax.jit(partial(loop.train_chunk, learner.step), donate_argnums=0)
    seconds = []
    for epoch in range(config.epochs):
        order = loop.epoch_order(keys.order, epoch, num_images, whole)[0]
        start = time.perf_counter()
        state, _ = jax.block_until_ready(train(state, images, order, keys.step))
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main(config: Config) -> None:
    """Print medians, extremes and the ratio; the bare scan runs before and after the experiment.

    Raises InputError if there are too few epochs.
    """
    if config.epochs < 2:
        raise InputError("--epochs must be at least 2: the first one compiles and is not counted.")
    bare = bare_seconds(config)
    whole = experiment_seconds(config)
    bare += bare_seconds(config)
    for name, seconds in {"bare scan": bare, "experiment": whole}.items():
        print(f"{name}: {np.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})")
    print(f"ratio of the medians: {np.median(whole) / np.median(bare):.3f}")


if __name__ == "__main__":
    with console.report_errors():
        main(tyro.cli(Config, prog="python -m experiments.benchmark.overhead"))
