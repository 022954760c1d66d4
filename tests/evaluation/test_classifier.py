"""The classifier learns to tell digits apart, and counts what it recognizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxgen.data import load
from jaxgen.evaluation import classifier
from jaxgen.evaluation.classifier import Classifier
from jaxgen.types import Batch

KEY = jax.random.key(1)


@pytest.mark.slow
def test_it_recognizes_real_digits():
    train, test = (
        jax.device_put(load("mnist_5k", split, image_size=32)) for split in ("train", "test")
    )
    model = Classifier()
    params = classifier.train(model, train, classifier.root_key(), num_steps=2400)
    right = jax.jit(lambda image, label: classifier.recognizes(model, params, image, label))
    assert right(test.image / 255, test.label).mean() > 0.95
    assert right(test.image / 255, (test.label + 1) % 10).mean() < 0.05


def brightness_classifier():
    """Parameters by which a classifier sees only whether an image is dark, grey or bright.

    Each convolution averages its window, so that the mean grey g of a constant image reaches the
    hidden layer's first unit. The logits are 0, 8 g - 2 and 16 g - 8: they cross at 1/4 and 3/4.
    """
    model = Classifier(3)
    params = jax.jit(model.init)(KEY, jnp.zeros((1, 8, 8, 1)))["params"]
    params = jax.tree.map(jnp.zeros_like, params)
    for i in range(3):  # the center of the window, of the first channel
        kernel = params[f"Conv_{i}"]["kernel"]
        params[f"Conv_{i}"]["kernel"] = kernel.at[1, 1, 0, 0].set(1.0)
    params["Dense_0"]["kernel"] = params["Dense_0"]["kernel"].at[0, 0].set(1.0)
    params["Dense_1"] = {
        "kernel": params["Dense_1"]["kernel"].at[0].set(jnp.array([0.0, 8.0, 16.0])),
        "bias": jnp.array([0.0, -2.0, -8.0]),
    }
    return model, params


def constant_images(greys):
    return jnp.broadcast_to(jnp.asarray(greys)[:, None, None, None], (len(greys), 8, 8, 1))


def test_an_image_is_recognized_as_the_class_of_its_largest_logit():
    model, params = brightness_classifier()
    images = constant_images([0.1, 0.2, 0.3, 0.7, 0.8, 1.0])
    logits = classifier.predict(model, params, images)
    assert_allclose(logits[2], [0, 0.4, -3.2], atol=1e-5)
    recognized = classifier.recognizes(model, params, images, jnp.array([0, 1, 1, 1, 1, 2]))
    assert recognized.tolist() == [True, False, True, True, False, True]


def test_accuracy_counts_every_image_once():
    model, params = brightness_classifier()
    image = (255 * constant_images([0.1, 0.5, 0.9, 0.9, 0.9])).astype(jnp.uint8)
    data = Batch(image, jnp.array([0, 1, 2, 1, 0]))
    assert_allclose(classifier.accuracy(model, params, data, batch_size=2), 3 / 5, rtol=1e-6)


def test_the_share_recognized_counts_samples_of_all_classes_evenly():
    """Samples whose grey is right for the classes 0 and 2 only."""
    model, params = brightness_classifier()

    def sample(labels, key):
        return constant_images(jnp.array([0.0, 0.0, 1.0])[labels])

    share = classifier.share_recognized(model, params, sample, KEY, num_batches=4, batch_size=6)
    assert_allclose(share, 2 / 3, rtol=1e-6)


def test_each_batch_of_samples_has_noise_of_its_own():
    """Greys that are random per batch: their classes follow from the batches' keys."""
    model, params = brightness_classifier()

    def sample(labels, key):
        return constant_images(jax.random.uniform(key) * jnp.ones(len(labels)))

    share = classifier.share_recognized(model, params, sample, KEY, num_batches=40, batch_size=3)
    greys = np.array([jax.random.uniform(key) for key in jax.random.split(KEY, 40)])
    assert len(np.unique(np.digitize(greys, [1 / 4, 3 / 4]))) == 3
    assert_allclose(share, 1 / 3, rtol=1e-6)  # one of three labels fits each batch


def test_training_fits_two_classes_that_differ_in_brightness():
    label = jnp.arange(40) % 2
    image = jnp.broadcast_to(label[:, None, None, None] * 200, (40, 8, 8, 1)).astype(jnp.uint8)
    model, data = Classifier(2), Batch(image, label.astype(jnp.int32))
    params = classifier.train(model, data, classifier.root_key(), num_steps=30)
    assert classifier.recognizes(model, params, image / 255, label).all()


@pytest.mark.parametrize(
    ("shape", "num_steps"),
    [
        ((60_000, 32, 32, 1), 2400),
        ((4000, 28, 28, 1), 2400),
        ((2000, 32, 32, 3), 1200),
        ((4000, 48, 48, 3), 1066),
        ((4000, 64, 64, 3), 600),
        ((50, 16, 16, 3), 600),
    ],
)
def test_small_sets_and_large_images_take_fewer_steps(shape, num_steps):
    assert classifier.num_steps(shape) == num_steps


def test_no_seed_yields_the_root_key():
    data = jax.random.key_data(classifier.root_key())
    for seed in (0, 1, 2**31, 2**32 - 1):
        assert (jax.random.key_data(jax.random.key(np.uint32(seed))) != data).any()
