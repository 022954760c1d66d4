"""The recipe of the variational autoencoders."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import optax
from jax import random
from jaxtyping import Array, Key, PyTree

from jaxgen.errors import InputError, require_not_negative, require_positive
from jaxgen.pictures import grids
from jaxgen.pixels import to_unit
from jaxgen.recipes.recipe import (
    Budget,
    Drawn,
    Facts,
    Networks,
    Recipe,
    Record,
    Task,
    TorchNames,
    format_metric,
)
from jaxgen.runs.directory import samples_path
from jaxgen.torch_layers import Entry, StateDict
from jaxgen.training import loop
from jaxgen.training.schedules import cosine_decay
from jaxgen.types import Batch, Learner, Metrics
from jaxgen.vae import objectives, torch_names
from jaxgen.vae.learner import Hypers, VAEState, vae
from jaxgen.vae.models import MLPVAE, ConvVAE

BEST = "test/negative_elbo_nats"
EVALUATION_BATCH = 500
NUM_SAMPLES = 64
NUM_RECONSTRUCTIONS = 32
NUM_COLUMNS = 8
COLLAPSED_NATS = 0.1  # of KL; a single informative latent dimension has more


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a variational autoencoder, and draw samples and reconstructions."""

    model: Literal["conv", "mlp"] = "conv"
    """The course's convolutional VAE, or its MLP."""
    hidden_dims: tuple[int, ...] | None = None
    """Widths of the hidden layers; None: 32 64 128 256 512 (conv), 512 512 (mlp)."""
    latent_dim: int | None = None
    """Size of the latent space; None: 128 (conv), 32 (mlp)."""

    objective: Literal["bernoulli", "gaussian", "gaussian-learned", "course"] = "bernoulli"
    """ELBO under binarized pixels, or under Gaussian pixels with a fixed or a learned variance, or
    the course's squared error with a weighted KL."""
    variance: float = 0.1
    """Variance of a pixel, for the gaussian objective."""
    course_kl_weight: float = 0.00025
    """Weight of the KL relative to the mean squared error, for the course objective (its M_N)."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """Maximize the ELBO or the importance-weighted bound."""
    num_samples: int = 1
    """Latent samples per image."""
    kl_weight: float = 1.0
    """Factor on the KL (beta)."""
    kl_warmup_epochs: int = 0
    """Epochs over which the KL weight rises linearly from 0."""

    learning_rate: float = 1e-3
    """Initial learning rate of Adam."""
    final_learning_rate: float = 0.1
    """Share of the learning rate that is left at the end of its cosine decay; 1: no decay."""

    def __post_init__(self) -> None:
        values = {
            "--hidden-dims": self.hidden_dims,
            "--latent-dim": self.latent_dim,
            "--variance": self.variance,
            "--course-kl-weight": self.course_kl_weight,
            "--num-samples": self.num_samples,
            "--learning-rate": self.learning_rate,
        }
        require_positive(**{flag: value for flag, value in values.items() if value is not None})
        require_not_negative(
            **{"--kl-weight": self.kl_weight, "--kl-warmup-epochs": self.kl_warmup_epochs}
        )
        if not 0 <= self.final_learning_rate <= 1:
            raise InputError(
                f"--final-learning-rate must be from 0 to 1, but is {self.final_learning_rate}."
            )


def make_objective(config: Config) -> objectives.Objective:
    """Create the likelihood and the loss."""
    activation = "tanh" if config.model == "conv" else "sigmoid"
    return {
        "bernoulli": objectives.bernoulli,
        "gaussian": partial(objectives.gaussian, activation, config.variance),
        "gaussian-learned": partial(objectives.gaussian_learned, activation),
        "course": partial(objectives.course, activation, config.course_kl_weight),
    }[config.objective]()


def make_model(config: Config, image_shape: tuple[int, int, int]) -> ConvVAE | MLPVAE:
    """Create the network."""
    sizes = {"hidden_dims": config.hidden_dims, "latent_dim": config.latent_dim}
    return {"conv": ConvVAE, "mlp": MLPVAE}[config.model](
        image_shape=image_shape,
        num_outputs=make_objective(config).num_outputs,
        **{name: value for name, value in sizes.items() if value is not None},
    )


def make_learner(config: Config, facts: Facts) -> Learner[VAEState, Hypers]:
    """Create the training algorithm."""
    warmup = config.kl_warmup_epochs * facts.steps_per_epoch
    return vae(
        make_model(config, facts.image_shape),
        make_objective(config),
        bound=config.bound,
        num_samples=config.num_samples,
        optimizer=cosine_decay(
            optax.adam, facts.num_epochs * facts.steps_per_epoch, config.final_learning_rate
        ),
        kl_schedule=optax.linear_schedule(0, 1, warmup) if warmup else optax.constant_schedule(1),
    )


def build(config: Config, facts: Facts) -> Task[VAEState, Hypers]:
    """Create the functions of a run."""
    learner = make_learner(config, facts)
    assert learner.reconstruct is not None
    reconstruct = learner.reconstruct

    def evaluate(state: VAEState, test: Batch, aux: PyTree, key: Key[Array, ""]) -> Metrics:
        return loop.evaluate(learner.evaluate, state, test, key, EVALUATION_BATCH)

    def draw(state: VAEState, test: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        sample_key, reconstruction_key = random.split(key)
        labels = jnp.zeros(NUM_SAMPLES, jnp.int32)  # only their number matters
        originals = test.image[:NUM_RECONSTRUCTIONS]
        return {
            "samples": learner.sample(state, labels, sample_key),
            "originals": to_unit(originals),
            "reconstructions": reconstruct(state, originals, reconstruction_key),
        }

    return Task(
        learner=learner,
        evaluate=evaluate,
        draw=draw,
        save_pictures=save_pictures,
        describe=describe,
        warn=warn,
    )


def save_pictures(directory: Path, epoch: int, drawn: Drawn) -> None:
    """Save a grid of samples, and one of originals beside their reconstructions."""
    grids.save(samples_path(directory, epoch), grids.grid(drawn["samples"], NUM_COLUMNS))
    pairs = grids.interleave(drawn["originals"], drawn["reconstructions"])
    grids.save(directory / "reconstructions.png", grids.grid(pairs, NUM_COLUMNS))


def warn(record: Record, drawn: Drawn) -> str:
    """Describe a collapse of the posterior onto the prior; an empty string if there is none."""
    kl = record["test/kl_nats"]
    if "train/kl_nats" not in record or kl >= COLLAPSED_NATS:
        return ""
    return (
        f"the posterior equals the prior (KL {kl:.3f} nats), so that the latents carry no "
        "information. Start a new run with a smaller --kl-weight, or with --kl-warmup-epochs."
    )


def describe(record: Record) -> str:
    """Format the negative ELBO of an epoch; before the first update, only on the test set."""
    bounds = "  ".join(
        f"{split} {format_metric(record, name, '.2f')}"
        for split in ("train", "test")
        if (name := f"{split}/negative_elbo_nats") in record
    )
    return f"negative ELBO in nats: {bounds}"


def torch_options(networks: Mapping[str, StateDict]) -> dict[str, object]:
    """Infer the model and its sizes from the shapes of its weights."""
    model = torch_names.model_for(networks["vae"])
    return {
        "model": "conv" if isinstance(model, ConvVAE) else "mlp",
        "hidden_dims": model.hidden_dims,
        "latent_dim": model.latent_dim,
    }


def torch_entries(config: Config, facts: Facts) -> dict[str, list[Entry]]:
    """List the entries of the only network, `vae`."""
    return {"vae": list(torch_names.entries(make_model(config, facts.image_shape)))}


RECIPE = Recipe(
    name="vae",
    config=Config,
    build=build,
    hypers=lambda config: Hypers(config.learning_rate, config.kl_weight),
    sweepable=("learning_rate", "kl_weight"),
    best=BEST,
    mode="min",
    headline=lambda record: f"test ELBO: {format_metric(record, BEST, '.2f', sign=-1)} nats",
    panels={
        "negative ELBO (nats)": ("train/negative_elbo_nats", "test/negative_elbo_nats"),
        "reconstruction (nats)": ("train/reconstruction_nats", "test/reconstruction_nats"),
        "KL divergence (nats)": ("train/kl_nats", "test/kl_nats"),
    },
    progress=("loss", "reconstruction_nats", "kl_nats"),
    budget=Budget(num_epochs=25, num_images=240_000),
    networks=Networks(
        get=lambda state: {"vae": state.network.variables},
        put=lambda state, networks: state._replace(
            network=state.network.replace(**networks["vae"])
        ),
    ),
    torch_names=TorchNames(torch_entries, lambda weights: {"vae": weights}, torch_options),
)
