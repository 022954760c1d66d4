"""The recipe of the variational autoencoders."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Key, PyTree

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
from jaxgen.recipes.vae_config import Config, choose_objective, make_learner, make_model, settings
from jaxgen.runs.directory import samples_path
from jaxgen.torch_layers import Entry, StateDict
from jaxgen.training import loop
from jaxgen.types import Batch, Learner, Metrics
from jaxgen.vae import torch_names
from jaxgen.vae.learner import Hypers, VAEState
from jaxgen.vae.models import ConvVAE

BEST = "test/negative_elbo_nats"
EVALUATION_BATCH = 500
NUM_SAMPLES = 64
NUM_RECONSTRUCTIONS = 32
NUM_COLUMNS = 8
COLLAPSED_NATS = 0.1  # of KL; a single informative latent dimension has more


def build(config: Config, facts: Facts) -> Task[VAEState, Hypers]:
    """Create the functions of a run."""
    task = make_task(make_learner(config, facts), choose_objective(config, facts)[1])
    return dataclasses.replace(task, settings=settings(config, facts))


def make_task(learner: Learner[VAEState, Hypers], notice: str = "") -> Task[VAEState, Hypers]:
    """Create the functions of a run that trains any VAE.

    A recipe with a model of its own replaces `RECIPE.build`, and calls this.
    """
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
        notice=notice,
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
    return f"negative ELBO in nats: {bounds}{bits(record)}"


def headline(record: Record) -> str:
    """Format the ELBO on the test set."""
    return f"test ELBO: {format_metric(record, BEST, '.2f', sign=-1)} nats{bits(record)}"


def bits(record: Record) -> str:
    """Format the bits per dimension on the test set, if the pixels have a likelihood of 8 bits."""
    name = "test/bits_per_dim"
    return f" ({format_metric(record, name, '.3f')} bits/dim)" if name in record else ""


def torch_options(networks: Mapping[str, StateDict]) -> dict[str, object]:
    """Infer the model and its sizes from the shapes of its weights.

    A color model with one output per channel has no scales: it is one of the course.
    """
    model = torch_names.model_for(networks["vae"])
    is_course = model.image_shape[-1] > 1 and model.num_outputs == 1
    return {
        **({"objective": "course"} if is_course else {}),
        "model": "conv" if isinstance(model, ConvVAE) else "mlp",
        "hidden_dims": model.hidden_dims,
        "latent_dim": model.latent_dim,
    }


def torch_entries(config: Config, facts: Facts) -> dict[str, list[Entry]]:
    """List the entries of the only network, `vae`."""
    return {"vae": list(torch_names.entries(make_model(config, facts)))}


def get_networks(state: VAEState) -> dict[str, PyTree]:
    """Return the variables of the only network and, if there is one, the fitted variance."""
    fitted = {} if state.variance is None else {"likelihood": {"variance": state.variance}}
    return {"vae": state.network.variables} | fitted


def put_networks(state: VAEState, networks: Mapping[str, PyTree]) -> VAEState:
    """Replace the variables of a state; a missing variance is unchanged."""
    return state._replace(
        network=state.network.replace_variables(networks["vae"]),
        variance=networks.get("likelihood", {"variance": state.variance})["variance"],
    )


RECIPE = Recipe(
    name="vae",
    config=Config,
    build=build,
    hypers=lambda config: Hypers(config.learning_rate, config.kl_weight),
    sweepable=("learning_rate", "kl_weight"),
    best=BEST,
    mode="min",
    headline=headline,
    panels={
        "negative ELBO (nats)": ("train/negative_elbo_nats", "test/negative_elbo_nats"),
        "reconstruction (nats)": ("train/reconstruction_nats", "test/reconstruction_nats"),
        "KL divergence (nats)": ("train/kl_nats", "test/kl_nats"),
    },
    progress=("loss", "reconstruction_nats", "kl_nats"),
    budget=Budget(num_epochs=25, num_images=240_000),
    networks=Networks(get=get_networks, put=put_networks),
    torch_names=TorchNames(torch_entries, lambda weights: {"vae": weights}, torch_options),
)
