"""Trains a variational autoencoder on digits, and shows what it learns.

python -m experiments.vae_mnist
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Key
from rich.progress import Progress

from experiments import launch
from experiments.experiment import Drawn, Experiment, show_result, train
from experiments.options import RunOptions, command_line
from experiments.records import told
from jaxgen import console, pictures, runs
from jaxgen.layers import default_form
from jaxgen.training import loop
from jaxgen.types import Batch, Learner, Metrics, State
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE

EPOCHS = 25
BEST = "test/negative_elbo_nats"
MODE: Literal["min", "max"] = "min"
EVALUATION_BATCH = 500
NUM_SAMPLES = 64
NUM_RECONSTRUCTIONS = 32
PANELS = {
    "negative ELBO (nats)": ["train/negative_elbo_nats", "test/negative_elbo_nats"],
    "negative log-likelihood (nats)": ["train/nll_nats", "test/nll_nats"],
    "KL divergence (nats)": ["train/kl_nats", "test/kl_nats"],
}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Values to train with, one member of the population for each; several lists are crossed."""

    learning_rate: tuple[float, ...] = ()
    """In place of --learning-rate."""
    kl_weight: tuple[float, ...] = ()
    """In place of --kl-weight."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains a variational autoencoder on digits, and shows what it learns."""

    model: Literal["conv", "mlp"] = "conv"
    """The course's convolutional VAE, or its MLP one."""
    hidden_dims: tuple[int, ...] | None = None
    """Widths of the hidden layers; None: 32 64 128 256 512 (conv), 512 512 (mlp)."""
    latent_dim: int | None = None
    """Size of the latent space; None: 128 (conv), 32 (mlp)."""

    objective: Literal["bernoulli", "gaussian", "gaussian-learned", "course"] = "bernoulli"
    """The ELBO under binarised pixels, or under Gaussian ones of fixed or learned variance; or the
    course's weighted squared error."""
    variance: float = 0.1
    """Variance of a pixel, for the Gaussian objective."""
    kld_weight: float = 0.00025
    """Weight of the KL against the mean squared error, for the course's objective (its M_N)."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """Maximise the ELBO, or the importance-weighted bound."""
    num_samples: int = 1
    """Latent samples for each image."""
    kl_weight: float = 1.0
    """Factor on the KL (beta)."""
    kl_warmup_epochs: int = 0
    """Epochs over which the KL's weight rises from 0."""

    learning_rate: float = 1e-3
    """Adam's."""
    decay_epochs: int | None = None
    """The learning rate falls to 0 along a cosine over so many epochs; None: it stays."""

    sweep: Sweep = Sweep()
    """Trains a population: one run for each value."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions()
    """What every experiment can be asked for."""


def make_objective(config: Config) -> objectives.Objective:
    """The objective that the configuration names."""
    activation = "tanh" if config.model == "conv" else "sigmoid"
    return {
        "bernoulli": objectives.bernoulli,
        "gaussian": partial(objectives.gaussian, activation, config.variance),
        "gaussian-learned": partial(objectives.gaussian_learned, activation),
        "course": partial(objectives.course, activation, config.kld_weight),
    }[config.objective]()


def make_model(config: Config, image_shape: tuple[int, int, int]) -> ConvVAE | MLPVAE:
    """The network that the configuration describes."""
    sizes = {"hidden_dims": config.hidden_dims, "latent_dim": config.latent_dim}
    return {"conv": ConvVAE, "mlp": MLPVAE}[config.model](
        image_shape=image_shape,
        num_outputs=make_objective(config).num_outputs,
        **{name: value for name, value in sizes.items() if value is not None},
    )


def make_learner(
    config: Config, image_shape: tuple[int, int, int], steps_per_epoch: int
) -> Learner:
    """The learner that the configuration describes."""

    def optimizer(learning_rate: jax.Array) -> optax.GradientTransformation:
        if config.decay_epochs is None:
            return optax.adam(learning_rate)
        decay = optax.cosine_decay_schedule(1.0, config.decay_epochs * steps_per_epoch)
        return optax.chain(optax.adam(learning_rate), optax.scale_by_schedule(decay))

    warmup = config.kl_warmup_epochs * steps_per_epoch
    return vae(
        make_model(config, image_shape),
        make_objective(config),
        bound=config.bound,
        num_samples=config.num_samples,
        optimizer=optimizer,
        kl_schedule=optax.linear_schedule(0, 1, warmup) if warmup else optax.constant_schedule(1),
    )


def prepare(config: Config, progress: Progress) -> Experiment:
    """Loads the data, and compiles nothing yet. Raises InputError for what cannot be done."""
    config, sets, layout = launch.prepare(config, progress, lambda num_images: EPOCHS)
    steps_per_epoch = loop.epoch_shape(len(sets.train.label), config.run.batch_size).num_steps
    learner = make_learner(config, sets.image_shape, steps_per_epoch)
    labels = jnp.zeros(NUM_SAMPLES, jnp.int32)  # of which only the number counts
    originals = np.asarray(sets.test.image[:NUM_RECONSTRUCTIONS])

    def evaluate(state: State, test: Batch, key: Key[Array, ""]) -> Metrics:
        return loop.evaluate(learner.evaluate, state, test, key, EVALUATION_BATCH)

    def draw(state: State, key: Key[Array, ""]) -> dict[str, Array]:
        return {
            "samples": learner.sample(state, labels, key),
            "reconstructions": learner.reconstruct(state, jnp.asarray(originals), key),
        }

    def save_pictures(place: Path, epoch: int, drawn: Drawn) -> None:
        samples = pictures.grid(drawn["samples"], num_columns=8)
        pictures.save(runs.samples_path(place, epoch), samples)
        pairs = pictures.beside(originals / 255, drawn["reconstructions"])
        pictures.save(place / "reconstructions.png", pictures.grid(pairs, num_columns=8))

    def tell(record: Mapping[str, Any]) -> str:
        bounds = "  ".join(
            f"{split} {told(record, name, '.2f')}"
            for split in ("train", "test")
            if (name := f"{split}/negative_elbo_nats") in record
        )
        return f"negative ELBO in nats: {bounds}"

    return Experiment(
        name="vae_mnist",
        config=config,
        sets=sets,
        layout=layout,
        learner=learner,
        hypers=lambda config: Hypers(config.learning_rate, config.kl_weight),
        best=BEST,
        mode=MODE,
        evaluate=evaluate,
        draw=draw,
        save_pictures=save_pictures,
        tell=tell,
        details={"convolution": default_form()},
    )


def main(config: Config) -> Path:
    """Trains, and returns the run directory. Raises InputError for what cannot be done."""
    launch.join_hosts(config.run)
    with console.progress_bar(quiet=not launch.is_writer()) as progress:
        experiment = prepare(config, progress)
        run_dir = train(experiment, progress)
    if launch.is_writer():
        record = show_result(experiment, run_dir, PANELS)
        bound = told(record, BEST, ".2f", sign=-1)
        print(f"samples, reconstructions and curves: {run_dir}")
        print(f"test ELBO on {experiment.sets.name}: {bound} nats after {record['epoch']} epochs")
    return run_dir


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(command_line(Config, "python -m experiments.vae_mnist"))
