"""The recipe of the conditional GAN."""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Key, PyTree

from jaxgen.errors import InputError
from jaxgen.evaluation import classifier
from jaxgen.evaluation.classifier import Classifier
from jaxgen.evaluation.collapse import describe_collapse
from jaxgen.gan import torch_names
from jaxgen.gan.learner import GANState, Hypers
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop.torch import split_networks
from jaxgen.pictures import grids
from jaxgen.recipes.cgan_config import (
    Config,
    choose_model,
    make_learner,
    make_models,
    settings,
)
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
from jaxgen.types import Batch, Learner, Metrics

BEST = "test/recognized"
EVALUATION_BATCH = 500
NUM_CLASSIFIED = 10_000  # samples after each epoch, if they have 32 x 32 gray pixels
MIN_CLASSIFIED_BATCHES = 2
SAMPLES_PER_CLASS = 10
WARM_UP_STEPS = 1000  # until then, the moving average of the generator means little


def build(config: Config, facts: Facts) -> Task[GANState, Hypers]:
    """Create the functions of a run."""
    notice = choose_model(config, facts)[1]
    task = make_task(make_learner(config, facts), facts, config.latent_dim, notice)
    return dataclasses.replace(task, settings=settings(config, facts))


def make_task(
    learner: Learner[GANState, Hypers], facts: Facts, latent_dim: int, notice: str = ""
) -> Task[GANState, Hypers]:
    """Create the functions of a run that trains any conditional GAN.

    A recipe with networks of its own replaces `RECIPE.build`, and calls this. Raises InputError if
    there is only one class.
    """
    if facts.num_classes < 2:
        raise InputError(
            f"A conditional GAN draws images of a class, and {facts.dataset} has only one: sort "
            "its images into a folder for each class, or train the recipe vae."
        )
    model = Classifier(facts.num_classes)
    labels = jnp.repeat(jnp.arange(facts.num_classes), SAMPLES_PER_CLASS)

    def evaluate(state: GANState, test: Batch, aux: PyTree, key: Key[Array, ""]) -> Metrics:
        loss_key, sample_key = random.split(key)
        recognized = classifier.share_recognized(
            model,
            aux["params"],
            partial(learner.sample, state),
            sample_key,
            num_batches=num_classified_batches(facts),
            batch_size=EVALUATION_BATCH,
        )
        metrics = loop.evaluate(learner.evaluate, state, test, loss_key, EVALUATION_BATCH)
        return {**metrics, "recognized": recognized, "recognized_real": aux["accuracy"]}

    def draw(state: GANState, test: Batch, key: Key[Array, ""]) -> dict[str, Array]:
        """Draw a row of samples per class, all rows from the same noise."""
        noise = random.normal(key, (SAMPLES_PER_CLASS, latent_dim))
        noise = jnp.tile(noise, (facts.num_classes, 1))
        return {"samples": learner.generate(state, labels, noise)}

    def warn(record: Record, drawn: Drawn) -> str:
        if record["step"] < WARM_UP_STEPS or "train/discriminator_loss" not in record:
            return ""
        samples = drawn["samples"]
        by_class = samples.reshape(facts.num_classes, -1, *samples.shape[1:])
        loss = record["train/discriminator_loss"]
        return describe_collapse(by_class, loss, facts.class_names)

    return Task(
        learner=learner,
        evaluate=evaluate,
        draw=draw,
        save_pictures=partial(save_pictures, facts.class_names),
        describe=describe,
        warn=warn,
        notice=notice,
        prepare_evaluation=partial(classifier.train_and_test, model),
        evaluation_key=classifier.describe(model),
    )


def num_classified_batches(facts: Facts) -> int:
    """Return the number of batches that are classified: fewer of larger images."""
    affordable = NUM_CLASSIFIED * 32 * 32 // math.prod(facts.image_shape)
    return max(MIN_CLASSIFIED_BATCHES, min(NUM_CLASSIFIED, affordable) // EVALUATION_BATCH)


def save_pictures(class_names: tuple[str, ...], directory: Path, epoch: int, drawn: Drawn) -> None:
    """Save a grid of samples with a row per class, and its name."""
    grid = grids.grid(drawn["samples"], SAMPLES_PER_CLASS)
    grids.save(samples_path(directory, epoch), grids.with_names(grid, class_names))


def describe(record: Record) -> str:
    """Format D(x) of real images and fakes, and the share of samples that are recognized."""
    real, fake = (format_metric(record, f"test/d_{kind}", ".2f") for kind in ("real", "fake"))
    return f"D(real) {real}  D(fake) {fake}  recognized {format_metric(record, BEST, '.2%')}"


def headline(record: Record) -> str:
    """Format the share of samples that are recognized, and that of real test images."""
    share, real = (format_metric(record, name, ".2%") for name in (BEST, "test/recognized_real"))
    return (
        f"recognized as the requested class: {share} of the samples "
        f"({real} of the real test images)"
    )


def torch_split(weights: StateDict) -> dict[str, StateDict]:
    """Split the weights in a file by network. Raises InputError if a network is missing."""
    networks = split_networks(weights, ("generator", "discriminator", "ema"))
    if missing := {"generator", "discriminator"} - networks.keys():
        raise InputError(
            "A conditional GAN needs a generator and a discriminator in one file, and there is no "
            f"{' and no '.join(sorted(missing))}: save both together."
        )
    return networks


def torch_options(networks: Mapping[str, StateDict]) -> dict[str, object]:
    """Infer the sizes of the networks from the shapes of their weights."""
    generator = torch_names.model_for(networks["generator"])
    discriminator = torch_names.model_for(networks["discriminator"])
    if not isinstance(generator, Generator) or not isinstance(discriminator, Discriminator):
        raise InputError("The weights of generator and discriminator are swapped: rename them.")
    return {
        "model": "mlp",
        "latent_dim": generator.latent_dim,
        "generator_dims": generator.hidden_dims,
        "discriminator_dims": discriminator.hidden_dims,
    }


def torch_entries(config: Config, facts: Facts) -> dict[str, list[Entry]]:
    """List the entries of both networks and, if there is one, of the moving average.

    Raises InputError for convolutional networks.
    """
    generator, discriminator = make_models(config, facts)
    if not isinstance(generator, Generator) or not isinstance(discriminator, Discriminator):
        raise InputError(
            "PyTorch files hold the course's networks, and those of this run are convolutional: "
            "train with --model mlp."
        )
    networks = {"generator": generator, "discriminator": discriminator}
    if config.ema_decay is not None:
        networks["ema"] = generator
    return {name: list(torch_names.entries(model)) for name, model in networks.items()}


def get_networks(state: GANState) -> dict[str, PyTree]:
    """Return the variables of each network."""
    networks = {
        "generator": state.generator.variables,
        "discriminator": state.discriminator.variables,
    }
    return networks if state.ema is None else networks | {"ema": state.ema}


def put_networks(state: GANState, networks: Mapping[str, PyTree]) -> GANState:
    """Replace the networks of a state; a missing moving average starts at the generator."""
    generator = networks["generator"]
    average = networks.get("ema", generator)
    return state._replace(
        generator=state.generator.replace_variables(generator),
        discriminator=state.discriminator.replace_variables(networks["discriminator"]),
        ema=None
        if state.ema is None
        else jax.tree.map(jnp.copy, {name: average[name] for name in state.ema}),
    )


RECIPE = Recipe(
    name="cgan",
    config=Config,
    build=build,
    hypers=lambda config: Hypers(config.learning_rate, config.learning_rate, config.penalty_weight),
    sweepable=("learning_rate", "penalty_weight"),
    best=BEST,
    mode="max",
    headline=headline,
    panels={
        "losses": ("train/generator_loss", "train/discriminator_loss"),
        "D(x)": ("train/d_real", "train/d_fake"),
        "recognized as the requested class": (BEST, "test/recognized_real"),
    },
    progress=("generator_loss", "discriminator_loss"),
    budget=Budget(num_epochs=100, num_images=720_000),
    networks=Networks(get_networks, put_networks),
    torch_names=TorchNames(torch_entries, torch_split, torch_options),
)
