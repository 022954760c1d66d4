"""A trained classifier is applied to any number of images, batch by batch."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from jaxgen.evaluation import classifier, features
from jaxgen.evaluation.classifier import Classifier
from jaxgen.evaluation.features import TrainedClassifier
from jaxgen.types import Batch

MODEL = Classifier(3)
IMAGE = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)
UNIT = jnp.asarray(IMAGE / np.float32(255))


def trained():
    params = jax.jit(MODEL.init)(jax.random.key(0), UNIT)["params"]
    return TrainedClassifier(MODEL, params)


def test_features_are_what_the_last_layer_sees(monkeypatch):
    monkeypatch.setattr(features, "BATCH_SIZE", 3)
    hidden = trained().features(IMAGE)
    assert hidden.shape == (7, classifier.NUM_FEATURES)
    assert (hidden >= 0).all()
    last = trained().params["Dense_1"]
    logits = classifier.predict(MODEL, trained().params, UNIT)
    assert_allclose(
        hidden @ np.asarray(last["kernel"]) + np.asarray(last["bias"]), logits, rtol=1e-4, atol=1e-5
    )


def test_recognized_images_are_those_whose_largest_logit_is_their_label(monkeypatch):
    monkeypatch.setattr(features, "BATCH_SIZE", 3)
    logits = classifier.predict(MODEL, trained().params, UNIT)
    label = logits.argmax(-1)
    label = label.at[2].set((label[2] + 1) % 3)
    expected = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert trained().recognizes(Batch(jnp.asarray(IMAGE), label)).tolist() == expected
