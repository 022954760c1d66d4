"""What an epoch of the VAE experiment costs, against the bare scan over the same steps.

python -m experiments.overhead --model mlp --dataset mnist
"""

import dataclasses
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro

from experiments import launch, vae_mnist
from jaxgen import console, runs
from jaxgen.training import devices, loop
from jaxgen.vae.learner import Hypers

NUM_EPOCHS = 6  # the first one compiles


def experiment_seconds(config: vae_mnist.Config) -> list[float]:
    """Wall time of each epoch but the first, with all that the experiment does besides training."""
    with tempfile.TemporaryDirectory() as directory:
        options = dataclasses.replace(
            config.run, run_dir=Path(directory) / "run", epochs=NUM_EPOCHS
        )
        run_dir = vae_mnist.main(dataclasses.replace(config, run=options))
        return list(np.diff([record["time"] for record in runs.read_metrics(run_dir)]))


def bare_seconds(config: vae_mnist.Config) -> list[float]:
    """Wall time of as many epochs, each one scan and nothing else."""
    with console.progress_bar() as progress:
        sets = launch.load_data(config.run, devices.layout(), progress)
    shape = loop.epoch_shape(len(sets.train.label), config.run.batch_size)
    learner = vae_mnist.make_learner(config, sets.image_shape, shape.num_steps)
    keys = loop.split_run_key(jax.random.key(config.run.seed))
    whole = loop.EpochShape(1, shape.num_steps, shape.batch_size)
    state = jax.jit(learner.init)(keys.init, Hypers(config.learning_rate, config.kl_weight))
    train = jax.jit(partial(loop.train_chunk, learner.step), donate_argnums=0)
    seconds = []
    for epoch in range(NUM_EPOCHS):
        order = loop.epoch_order(keys.order, epoch, len(sets.train.label), whole)[0]
        start = time.perf_counter()
        state, _ = jax.block_until_ready(train(state, sets.train, order, keys.step))
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main(config: vae_mnist.Config) -> None:
    """Prints both medians, their spread and their ratio; the bare scan before and after."""
    bare = bare_seconds(config)
    whole = experiment_seconds(config)
    bare += bare_seconds(config)
    for name, seconds in {"bare scan": bare, "experiment": whole}.items():
        print(f"{name}: {np.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})")
    print(f"ratio of the medians: {np.median(whole) / np.median(bare):.3f}")


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(tyro.cli(vae_mnist.Config, prog="python -m experiments.overhead"))
