"""What a classifier learns from samples is measured on real images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluation import accuracy_score as score
from jaxgen.evaluation.classifier import Classifier
from jaxgen.types import Batch

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr(score, "NUM_STEPS", 40)


def images(labels):
    """Noise that is brighter in class 1."""
    labels = np.asarray(labels, np.int32)
    noise = np.random.default_rng(0).integers(0, 50, (len(labels), 8, 8, 1))
    image = noise + 150 * labels[:, None, None, None]
    return Batch(jnp.asarray(image, jnp.uint8), jnp.asarray(labels))


def test_samples_that_show_their_class_teach_it():
    result = score.accuracy_score(Classifier(2), images(np.arange(80) % 2), images([0, 1, 1]), KEY)
    assert result == (1.0, 1.0)


def test_samples_of_the_other_class_teach_the_wrong_thing():
    samples = images(np.arange(80) % 2)
    swapped = Batch(samples.image, 1 - samples.label)
    result = score.accuracy_score(Classifier(2), swapped, images([0, 1, 1]), KEY)
    assert result == (0.0, 1.0)


def test_the_last_tenth_is_held_out():
    """Its labels are wrong, which only the validation sees."""
    samples = images(np.arange(80) % 2)
    label = samples.label.at[-8:].set(1 - samples.label[-8:])
    result = score.accuracy_score(Classifier(2), Batch(samples.image, label), images([0, 1]), KEY)
    assert result == (1.0, 0.0)
