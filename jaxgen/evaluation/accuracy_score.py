"""The classification accuracy score: what a classifier learns from samples about real images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxgen.evaluation import classifier
from jaxgen.evaluation.classifier import Classifier
from jaxgen.types import Batch

VALIDATION_SHARE = 0.1
NUM_STEPS = 1000


class AccuracyScore(NamedTuple):
    """Accuracies of a classifier that was trained on samples."""

    test: float
    """On real test images: the score (Ravuri & Vinyals 2019)."""
    validation: float
    """On samples that were held out: lower than 1 if samples do not show their class."""


def accuracy_score(
    model: Classifier, samples: Batch, test: Batch, key: Key[Array, ""]
) -> AccuracyScore:
    """Train a classifier on all but the last tenth of the samples, for `NUM_STEPS` updates.

    The samples have 8-bit pixels, as real images do, and their classes alternate at random.
    """
    num_validation = max(1, int(VALIDATION_SHARE * len(samples.label)))
    training, validation = (
        jax.tree.map(lambda array: jnp.asarray(array[rows]), samples)  # noqa: B023
        for rows in (slice(None, -num_validation), slice(-num_validation, None))
    )
    params = classifier.train(model, training, key, NUM_STEPS)
    accuracy = jax.jit(lambda params, data: classifier.accuracy(model, params, data))
    return AccuracyScore(float(accuracy(params, test)), float(accuracy(params, validation)))
