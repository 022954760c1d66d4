"""Everything that a run needs before it trains: its data, its devices and its task."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

from jaxgen.errors import InputError
from jaxgen.pixels import binarization_noise
from jaxgen.recipes.recipe import Facts, Recipe, Task
from jaxgen.runner import recorded
from jaxgen.runner.data import DataSets, fingerprint, load_data
from jaxgen.runner.options import Options
from jaxgen.runner.sweep import members
from jaxgen.training import loop, sharding
from jaxgen.training.sharding import Layout

NUM_MEASURED = 1000  # training images, evenly spaced, to measure their noise when binarized


class Setup(NamedTuple):
    """A run that is ready to be started or resumed."""

    recipe: Recipe
    options: Options  # with the data set and the number of epochs filled in
    facts: Facts
    task: Task
    data: DataSets
    shape: loop.EpochShape
    layout: Layout

    @property
    def is_population(self) -> bool:
        """Whether arrays have a member axis."""
        return self.layout.num_members is not None


def prepare(recipe: Recipe, options: Options, console: Console) -> Setup:
    """Load the data and build the task. Raises InputError if options cannot be fulfilled."""
    layout = choose_layout(options)
    sets = load_data(options.data, options.hardware.data_mode, console)
    num_images = len(sets.train.label)
    shape = loop.epoch_shape(num_images, options.training.batch_size)
    _, height, width, channels = sets.test.image.shape
    budget = recipe.budget.epochs(num_images, (height, width, channels))
    num_epochs = budget if options.training.epochs is None else options.training.epochs
    options = dataclasses.replace(
        options,
        data=dataclasses.replace(options.data, dataset=sets.name),
        training=dataclasses.replace(options.training, epochs=num_epochs),
    )
    facts = Facts(
        dataset=sets.name,
        image_shape=(height, width, channels),
        class_names=sets.class_names,
        num_images=num_images,
        fingerprint=fingerprint(sets),
        steps_per_epoch=shape.num_steps,
        num_epochs=num_epochs or budget,
        binarization_noise=binarization_noise(
            np.asarray(sets.train.image[:: -(-num_images // NUM_MEASURED)])
        ),
    )
    if options.output.resume is not None:
        facts = check_same_data(recipe, options, facts)
    task = recipe.build(options.config, facts)
    if task.notice:
        console.print(task.notice)
    return Setup(recipe, options, facts, task, sets, shape, layout)


def check_same_data(recipe: Recipe, options: Options, facts: Facts) -> Facts:
    """Return the facts of the run to resume. Raises InputError if its data have changed."""
    assert options.output.resume is not None
    there = recorded.read(options.output.resume, recipe).facts
    if there.fingerprint != facts.fingerprint:
        raise InputError(
            f"The data set {facts.dataset} is not the one that {options.output.resume} was started "
            f"with ({there.num_images} images there, {facts.num_images} here, or other contents): "
            "restore it, or start a new run."
        )
    return there


def choose_layout(options: Options) -> Layout:
    """Choose the layout of a run. Raises InputError if the devices cannot be divided this way."""
    hardware, batch_size = options.hardware, options.training.batch_size
    num_members = len(members(options))
    if batch_size % hardware.batch_devices:
        raise InputError(
            f"A batch of {batch_size} cannot be split evenly among {hardware.batch_devices} "
            "devices: change --batch-size or --batch-devices."
        )
    is_population = num_members > 1
    if hardware.strategy is not None and not is_population:
        raise InputError(
            "--strategy applies to the members of a population, and this is a single run: ask for "
            "more with --num-seeds or --sweep, or omit it."
        )
    layout = sharding.layout(
        num_members if is_population else None, hardware.strategy, hardware.batch_devices
    )
    if jax.process_count() > 1 and layout.mesh.size < jax.device_count():
        raise InputError(
            f"{num_members} run(s) with each batch on {hardware.batch_devices} device(s) leave "
            f"some of {jax.device_count()} devices idle, which a distributed run cannot: choose "
            "--num-seeds or --batch-devices that use all of them."
        )
    return layout
