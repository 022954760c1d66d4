"""The judge learns to tell digits apart, and counts only what it recognises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxgen import data
from jaxgen.evaluation import judge
from jaxgen.types import Batch


@pytest.mark.slow
def test_the_judge_recognises_real_digits():
    train, test = (
        jax.device_put(data.pad_to(data.load("mnist_5k", split), 32)) for split in ("train", "test")
    )
    model = judge.Judge()
    params = judge.train(model, train, jax.random.key(0))
    right = jax.jit(lambda image, label: judge.recognises(model, params, image, label))
    assert right(test.image / 255, test.label).mean() > 0.95
    assert right(test.image / 255, (test.label + 1) % 10).mean() < 0.05


def brightness_judge(num_classes):
    """Parameters with which a judge sees nothing but how bright an image is, unless it is dark."""
    model = judge.Judge(num_classes)
    image = jnp.zeros((1, 8, 8, 1))
    params = jax.jit(model.init)(jax.random.key(0), image)["params"]
    return model, params


def test_the_share_recognised_is_that_of_judging_every_sample():
    model, params = brightness_judge(3)

    def sample(labels, key):
        return jax.random.uniform(key, (len(labels), 8, 8, 1))

    key = jax.random.key(1)
    share = judge.share_recognised(model, params, sample, key, num_batches=4, batch_size=6)
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    judged = [
        judge.judge_logits(model, params, sample(labels, part)).argmax(-1) == labels
        for part in jax.random.split(key, 4)
    ]
    assert_allclose(share, np.mean(judged), rtol=1e-6)


def test_a_judge_that_always_says_the_same_recognises_one_class_in_three():
    model, params = brightness_judge(3)
    params["Dense_1"] = {"kernel": jnp.zeros((128, 3)), "bias": jnp.array([0.0, 1.0, 0.0])}

    def sample(labels, key):
        return jax.random.uniform(key, (len(labels), 8, 8, 1))

    share = judge.share_recognised(
        model, params, sample, jax.random.key(1), num_batches=2, batch_size=9
    )
    assert_allclose(share, 1 / 3, rtol=1e-6)


def test_training_fits_two_classes_that_a_glance_tells_apart(monkeypatch):
    monkeypatch.setattr(judge, "NUM_STEPS", 30)
    label = jnp.arange(40) % 2
    image = jnp.broadcast_to(label[:, None, None, None] * 200, (40, 8, 8, 1)).astype(jnp.uint8)
    model = judge.Judge(2)
    params = judge.train(model, Batch(image, label.astype(jnp.int32)), jax.random.key(0))
    assert judge.recognises(model, params, image / 255, label).all()
