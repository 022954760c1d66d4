"""The recipe of the conditional GAN."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Key, PyTree

from jaxgen.errors import InputError, require_not_negative, require_positive
from jaxgen.evaluation import classifier
from jaxgen.evaluation.classifier import Classifier
from jaxgen.evaluation.collapse import describe_collapse
from jaxgen.gan import objectives, torch_names
from jaxgen.gan.learner import GANState, Hypers, adam, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop.torch import split_networks
from jaxgen.pictures import grids
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

BEST = "test/recognized"
EVALUATION_BATCH = 500
NUM_CLASSIFIED = 10_000
SAMPLES_PER_CLASS = 10
WARM_UP_STEPS = 1000  # until then, the moving average of the generator means little

OBJECTIVES = {
    "least-squares": objectives.least_squares,
    "minimax": objectives.minimax,
    "non-saturating": objectives.non_saturating,
    "hinge": objectives.hinge,
    "wasserstein": objectives.wasserstein,
}
PENALTIES = {"none": None, "gradient": objectives.gradient_penalty, "r1": objectives.r1}


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a conditional GAN, and check with a classifier whether samples show their class."""

    objective: Literal["least-squares", "minimax", "non-saturating", "hinge", "wasserstein"] = (
        "non-saturating"
    )
    """The losses of the two networks."""
    penalty: Literal["none", "gradient", "r1"] = "none"
    """Penalty on the discriminator's gradient between real images and fakes (gradient) or at real
    images (r1)."""
    penalty_weight: float = 10.0
    """Factor on the penalty."""
    num_discriminator_steps: int = 1
    """Updates of the discriminator per update of the generator; they share a batch."""
    label_smoothing: float = 0.0
    """Share of the real images that the discriminator is trained to classify as fake."""
    ema_decay: float | None = 0.999
    """Decay per step of the moving average of the generator that draws the samples; None: the
    generator itself draws them."""
    sample_statistics: Literal["batch", "running"] = "batch"
    """Normalize samples by the statistics of those drawn together, as the course does (batch), or
    by running averages (running)."""

    generator_dims: tuple[int, ...] = (128, 256, 512, 1024)
    """Widths of the generator's hidden layers."""
    discriminator_dims: tuple[int, ...] = (512, 512, 512)
    """Widths of the discriminator's hidden layers."""
    latent_dim: int = 100
    """Size of the noise."""
    learning_rate: float = 2e-4
    """Initial learning rate of Adam, for both networks."""
    final_learning_rate: float = 1.0
    """Share of the learning rate that is left at the end of its cosine decay; 1: no decay."""

    def __post_init__(self) -> None:
        require_positive(
            **{
                "--num-discriminator-steps": self.num_discriminator_steps,
                "--generator-dims": self.generator_dims,
                "--discriminator-dims": self.discriminator_dims,
                "--latent-dim": self.latent_dim,
                "--learning-rate": self.learning_rate,
            }
        )
        require_not_negative(**{"--penalty-weight": self.penalty_weight})
        shares = {"--label-smoothing": self.label_smoothing, "--ema-decay": self.ema_decay}
        for flag, share in shares.items():
            if share is not None and not 0 <= share < 1:
                raise InputError(f"{flag} must be at least 0 and less than 1, but is {share}.")
        if not 0 <= self.final_learning_rate <= 1:
            raise InputError(
                f"--final-learning-rate must be from 0 to 1, but is {self.final_learning_rate}."
            )


def make_models(config: Config, facts: Facts) -> tuple[Generator, Discriminator]:
    """Create the generator and the discriminator."""
    shape, num_classes = facts.image_shape, facts.num_classes
    generator = Generator(shape, config.latent_dim, num_classes, config.generator_dims)
    return generator, Discriminator(shape, num_classes, config.discriminator_dims)


def make_learner(config: Config, facts: Facts) -> Learner[GANState, Hypers]:
    """Create the training algorithm."""
    return cgan(
        *make_models(config, facts),
        OBJECTIVES[config.objective](),
        optimizer=cosine_decay(
            adam, facts.num_epochs * facts.steps_per_epoch, config.final_learning_rate
        ),
        num_discriminator_steps=config.num_discriminator_steps,
        label_smoothing=config.label_smoothing,
        penalty=PENALTIES[config.penalty],
        ema_decay=config.ema_decay,
        sample_statistics=config.sample_statistics,
    )


def build(config: Config, facts: Facts) -> Task[GANState, Hypers]:
    """Create the functions of a run."""
    task = make_task(make_learner(config, facts), facts, config.latent_dim)
    return dataclasses.replace(task, settings=settings(config))


def settings(config: Config) -> dict[str, object]:
    """Drop the options without effect."""
    unused = ["penalty_weight"] if config.penalty == "none" else []
    return {name: value for name, value in vars(config).items() if name not in unused}


def make_task(
    learner: Learner[GANState, Hypers], facts: Facts, latent_dim: int
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
            num_batches=NUM_CLASSIFIED // EVALUATION_BATCH,
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
        prepare_evaluation=partial(classifier.train_and_test, model),
        evaluation_key=classifier.describe(model),
    )


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
        f"recognized as the requested class: {share} of {NUM_CLASSIFIED} samples "
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
        "latent_dim": generator.latent_dim,
        "generator_dims": generator.hidden_dims,
        "discriminator_dims": discriminator.hidden_dims,
    }


def torch_entries(config: Config, facts: Facts) -> dict[str, list[Entry]]:
    """List the entries of both networks and, if there is one, of the moving average."""
    generator, discriminator = make_models(config, facts)
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
