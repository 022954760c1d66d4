"""Open a run with its options, state and metrics, but without its data."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key, PyTree, Shaped

from jaxgen.batch import check_images, check_labels
from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Facts, Recipe, Task
from jaxgen.runner import recorded, saved
from jaxgen.runner.epochs import member_record
from jaxgen.runner.notices import notices
from jaxgen.runner.options import NUM_SEEDS, Options
from jaxgen.runner.sweep import members, num_members
from jaxgen.runs.directory import checkpoints_path
from jaxgen.runs.records import Record, merge, read_metrics
from jaxgen.training.checkpoint import find_step, restore
from jaxgen.types import CheckpointChoice, Learner

Images = Float[np.ndarray, "n h w c"]  # in [0, 1]
AnyArray = Shaped[np.ndarray, "..."] | Shaped[Array, "..."]

NUM_TOGETHER = 32  # images drawn at a time, few enough for a GAN to add others of all classes


@dataclasses.dataclass(frozen=True)
class Run:
    """A run at one of its checkpoints: a single run, a population or a member of one."""

    path: Path
    recipe: Recipe
    options: Options
    facts: Facts
    task: Task
    step: int
    """The step of the checkpoint."""
    state: PyTree
    """On one device; for a population, with a leading member axis."""
    metrics: list[Record]
    """The lines of metrics.jsonl up to the checkpoint."""

    @property
    def learner(self) -> Learner:
        """The pure functions of the model."""
        return self.task.learner

    @property
    def num_members(self) -> int | None:
        """The size of a population; None for a single run."""
        return num_members(self.options)

    def member(self, index: int) -> "Run":
        """Select one member of a population as a single run. Raises InputError if there is none."""
        if self.num_members is None:
            raise InputError(f"{self.path} is a single run: it has no members.")
        if not 0 <= index < self.num_members:
            raise InputError(f"{self.path} has members 0 to {self.num_members - 1}, not {index}.")
        state = jax.tree.map(lambda array: array[index], self.state)
        step = int(state.step)
        return dataclasses.replace(
            self,
            options=members(self.options)[index],
            state=state,
            step=step,
            # the metrics of a member are null once it is frozen
            metrics=[member_record(r, index) for r in self.metrics if r["step"] <= step],
        )

    def sample(self, labels: int | Sequence[int], *, seed: int = 0) -> Images:
        """Draw an image for each label or, given a number, that many with labels of all classes.

        Raises InputError for labels that the model does not have, and for a seed out of range.
        """
        if isinstance(labels, int):
            labels = [i % self.facts.num_classes for i in range(labels)]
        batches = list(self.sample_batches(labels, seed=seed))
        return np.concatenate(batches) if batches else np.zeros((0, *self.facts.image_shape))

    def sample_batches(self, labels: Sequence[int], *, seed: int = 0) -> Iterator[Images]:
        """Draw what `sample` does, a few images at a time."""
        label, key = np.array(labels, np.int32), _key(seed)
        check_labels(label, self.learner.num_classes)
        for number, start in enumerate(range(0, len(label), NUM_TOGETHER)):
            part = label[start : start + NUM_TOGETHER]
            whole = np.resize(part, NUM_TOGETHER)  # one size, so that one program draws them all
            images = self._call(self.learner.sample, whole, jax.random.fold_in(key, number))
            yield images[: len(part)]

    def generate(self, z: Float[np.ndarray, "n d"], labels: Sequence[int] | None = None) -> Images:
        """Generate an image from each latent, with the given labels or class 0."""
        labels = [0] * len(z) if labels is None else labels
        return self._call(self.learner.generate, np.array(labels, np.int32), np.asarray(z))

    def generate_mixture(
        self, weights: Float[np.ndarray, "n k"], z: Float[np.ndarray, "n d"]
    ) -> Images:
        """Generate images between classes, from the weight of each class.

        Raises InputError if the model has no classes that can be mixed.
        """
        if self.learner.generate_mixture is None:
            raise InputError(
                f"The model of {self.path} draws nothing between classes: a generator can if it "
                "takes weights of all classes instead of labels, too (docs/networks.md)."
            )
        return self._call(self.learner.generate_mixture, np.asarray(weights), np.asarray(z))

    def reconstruct(self, images: AnyArray, *, seed: int = 0) -> Images:
        """Encode and decode uint8 images [n, h, w, c].

        Raises InputError if the model has no encoder, or if the images do not fit it.
        """
        return self._call(self.learner.reconstruct, self._fit(images), _key(seed))

    def encode(
        self, images: AnyArray, *, seed: int = 0
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]:
        """Compute mean and log-variance of q(z | x). Takes and raises what `reconstruct` does."""
        return self._call(self.learner.encode, self._fit(images), _key(seed))

    def _fit(self, images: AnyArray) -> AnyArray:
        check_images(images)
        if images.shape[1:] != self.facts.image_shape:
            raise InputError(
                f"{self.path} takes images of the shape {list(self.facts.image_shape)}, not "
                f"{list(images.shape[1:])}: load them with jaxgen.load and the options of the run."
            )
        return images

    def _call(self, function: Any, *args: Any) -> Any:
        if function is None:
            raise InputError(f"The model of {self.path} has no encoder.")
        if self.num_members is not None:
            raise InputError(f"{self.path} is a population: choose a member with run.member(i).")
        return jax.device_get(jax.jit(function)(self.state, *args))


def _key(seed: int) -> Key[Array, ""]:
    """Make a key. Raises InputError for a seed out of range, which JAX would reduce."""
    if not 0 <= seed < NUM_SEEDS:
        raise InputError(f"The seed must be from 0 to {NUM_SEEDS - 1}, but is {seed}.")
    return jax.random.key(np.uint32(seed))


def load_run(
    path: str | Path, checkpoint: CheckpointChoice = "latest", recipe: Recipe | None = None
) -> Run:
    """Open a run at its latest checkpoint, the best of the saved ones, or that of a given step.

    Short epochs are not each saved. The best checkpoint of a population has the best mean of the
    metric over its members. "latest" and "best" skip damaged checkpoints, with a warning. Only a
    recipe that is neither built in nor registered must be given. Raises InputError if the directory
    is not a run, or has no such checkpoint.
    """
    path = Path(path)
    recipe, options, facts = recorded.read(path, recipe)
    directory = checkpoints_path(path)
    if not directory.is_dir():
        raise InputError(f"{path} has no checkpoint yet: train it for an epoch.")
    task = recipe.build(options.config, facts)
    like = jax.eval_shape(task.learner.init, jax.random.key(0), recipe.hypers(options.config))
    num = num_members(options)
    if num is not None:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((num, *x.shape), x.dtype), like)
    lines = read_metrics(path)  # before the checkpoints, of which a running process may add more
    step, damaged = find_step(directory, checkpoint, recipe.mode)
    lines = merge(lines, saved.read(directory, step, num).lines)
    metrics = [record for record in lines if record["step"] <= step]
    if not isinstance(checkpoint, int):
        known = lines if checkpoint == "latest" else metrics
        for notice in notices(path, step, damaged, known, facts.steps_per_epoch):
            warnings.warn(notice, stacklevel=2)
    state = restore(directory, step, like)
    return Run(path, recipe, options, facts, task, step, state, metrics)
