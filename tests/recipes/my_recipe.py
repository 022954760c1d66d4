"""A recipe of one's own: it learns the mean image. Used by test_own_recipe.py."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import Learner, Recipe, Task
from jaxgen.pictures import grids
from jaxgen.pixels import to_unit
from jaxgen.recipes.recipe import Budget
from jaxgen.runs.directory import samples_path
from jaxgen.training import loop
from jaxgen.types import create_train_state, traced_learning_rate


@dataclasses.dataclass(frozen=True)
class Config:
    """Learn the mean image."""

    learning_rate: float = 0.1
    """Of Adam."""


class Hypers(NamedTuple):
    """What members differ in."""

    learning_rate: float


def build(config, facts):
    """A network whose only parameter is an image."""
    optimizer = traced_learning_rate(optax.adam)

    def init(key, hypers):
        image = jax.random.uniform(key, facts.image_shape)
        return create_train_state(
            init, {"params": {"image": image}}, optimizer, hypers.learning_rate
        )

    def error(params, batch):
        return jnp.mean((to_unit(batch.image) - params["image"][None]) ** 2, axis=(1, 2, 3))

    def step(state, batch, key):
        loss, grads = jax.value_and_grad(lambda p: error(p, batch).mean())(state.params)
        return state.apply_gradients(grads=grads), {"loss": loss}

    def sample(state, labels, key):
        return jnp.broadcast_to(state.params["image"], (len(labels), *facts.image_shape))

    learner = Learner(
        init=init,
        step=step,
        evaluate=lambda state, batch, key: {"error": error(state.params, batch)},
        generate=sample,
        sample=sample,
    )

    def save_pictures(directory, epoch, drawn):
        grids.save(samples_path(directory, epoch), grids.grid(drawn["mean"], 1))

    return Task(
        learner=learner,
        evaluate=lambda s, test, aux, key: loop.evaluate(learner.evaluate, s, test, key, 100),
        draw=lambda state, test, key: {"mean": state.params["image"][None]},
        save_pictures=save_pictures,
        describe=lambda record: f"error {record['test/error']}",
    )


RECIPE = Recipe(
    name="mean",
    config=Config,
    build=build,
    hypers=lambda config: Hypers(config.learning_rate),
    sweepable=("learning_rate",),
    best="test/error",
    mode="min",
    headline=lambda record: "the mean image is learned",
    panels={"error": ("train/loss", "test/error")},
    progress=("loss",),
    budget=Budget(num_epochs=2, num_images=10_000),
)
