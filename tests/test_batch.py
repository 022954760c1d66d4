"""Arrays that are no 8-bit images with labels are refused, with a line that converts them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.batch import check_batch, make_batch
from jaxgen.errors import InputError
from jaxgen.gan import Discriminator, Generator, cgan, non_saturating
from jaxgen.gan import Hypers as GANHypers
from jaxgen.training import loop
from jaxgen.types import Batch
from jaxgen.vae import MLPVAE, Hypers, bernoulli, vae

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1)).astype(np.uint8)
COLORS = np.tile(PIXELS, (1, 2, 2, 3))
LABEL = np.arange(12) % 3
SHAPE = loop.EpochShape(1, 2, 4)
VAE = vae(MLPVAE((4, 4, 1), 2, (8,)), bernoulli())


def remedy(error):
    """The line between backticks."""
    found = re.search("`([^`]*)`", str(error.value))
    assert found is not None, str(error.value)
    return found.group(1)


@pytest.mark.parametrize(
    "image",
    [
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        jnp.asarray(PIXELS / 255, jnp.bfloat16),
        PIXELS / 127.5 - 1,
        PIXELS.astype(np.float64),
        PIXELS.astype(np.int64),
        PIXELS.astype(np.uint16) * 257,
        PIXELS.astype(np.uint16),
        PIXELS > 127,
        jnp.asarray(PIXELS / 255),
    ],
)
def test_images_of_another_kind_and_the_line_that_converts_them(image):
    with pytest.raises(
        InputError, match=f"must be uint8 from 0 to 255, but are {image.dtype}"
    ) as e:
        make_batch(image, LABEL)
    converted = eval(remedy(e), {"image": image, "np": np})
    batch = make_batch(converted, LABEL)
    expected = 255 * (PIXELS > 127) if image.dtype == bool else PIXELS
    tolerance = 1 if image.dtype == jnp.bfloat16 else 0
    np.testing.assert_allclose(np.asarray(batch.image, int), expected, atol=tolerance)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (PIXELS.reshape(12, 16), PIXELS),
        (np.moveaxis(COLORS, -1, 1), COLORS),
    ],
)
def test_images_of_another_shape_and_the_line_that_converts_them(image, wanted):
    with pytest.raises(InputError, match=r"must have the shape \[n, h, w, c\]") as error:
        make_batch(image, LABEL)
    np.testing.assert_array_equal(eval(remedy(error), {"image": image}), wanted)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PIXELS * 1e9, "float64 from 0 to 2.55e.11: scale them to 0 to 255"),
        (np.full((2, 4, 4, 1), np.nan), "replace values that are not finite"),
        (PIXELS[0, 0], r"but have \[4, 1\]: reshape them"),
        (PIXELS[:0], "There are no images"),
        (np.full((2, 4, 4, 1), "a"), "but are <U1"),
        (np.full((2, 4, 4, 1), None), "but are object"),
        (np.zeros((2, 4, 4, 1), complex), "but are complex128"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 3), np.uint8)], "images have different shapes"),
    ],
)
def test_images_that_no_line_converts(image, message):
    with pytest.raises(InputError, match=message):
        make_batch(image)


@pytest.mark.parametrize(
    "label",
    [
        LABEL.astype(float),
        LABEL[:, None],
        np.eye(3)[LABEL],
        np.eye(3, dtype=int)[LABEL],
        LABEL + 1,
        LABEL + 7,
        np.array([3, 7, 90])[LABEL],
        np.array(["cat", "dog", "owl"])[LABEL],
        LABEL + 2**40,
    ],
)
def test_labels_of_another_kind_and_the_line_that_converts_them(label):
    with pytest.raises(InputError, match=r"^Labels must be ") as error:
        make_batch(PIXELS, label, num_classes=3)
    batch = make_batch(PIXELS, eval(remedy(error), {"label": label, "np": np}), num_classes=3)
    np.testing.assert_array_equal(batch.label, LABEL)


@pytest.mark.parametrize(
    ("label", "num_classes", "message"),
    [
        (LABEL[:5], None, "There are 12 images and 5 labels: give each image its label"),
        (LABEL - 1, None, "must be 0 or more, but are from -1 to 1"),
        (LABEL - 1, 3, "must be from 0 to 2, but are from -1 to 1"),
        (
            np.arange(12),
            10,
            "are from 0 to 11: these are 12 classes, so build the model for as many",
        ),
        (LABEL == 1, None, "but are bool"),
        ([None] * 12, None, "but are object .*: give each image one integer"),
        ([[0], [1, 2]], None, "labels have different shapes"),
        (LABEL + 2**40, None, f"must be from 0 to {2**31 - 1}, but are from {2**40}"),
    ],
)
def test_labels_that_are_refused(label, num_classes, message):
    with pytest.raises(InputError, match=message):
        make_batch(PIXELS, label, num_classes)


def test_what_is_accepted():
    for image in (PIXELS, PIXELS[..., 0], jnp.asarray(PIXELS)):
        for label in (LABEL, LABEL.tolist(), LABEL.astype(np.uint8), jnp.asarray(LABEL)):
            batch = make_batch(image, label, num_classes=3)
            np.testing.assert_array_equal(batch.image, PIXELS)
            np.testing.assert_array_equal(batch.label, LABEL)
            assert batch.label.dtype == np.int32
    assert not np.asarray(make_batch(PIXELS).label).any()
    assert jaxgen.make_batch is make_batch


def floats():
    return Batch(jnp.asarray(PIXELS / 255), jnp.asarray(LABEL))


@pytest.mark.parametrize(
    "start",
    [
        lambda data: loop.run(VAE, data, jax.random.key(0), Hypers(), shape=SHAPE, num_epochs=1),
        lambda data: jax.jit(
            lambda data: loop.run(VAE, data, jax.random.key(0), Hypers(), shape=SHAPE, num_epochs=1)
        )(data),
        lambda data: next(
            loop.fit(
                loop.trainer(VAE.step), VAE.init(jax.random.key(0), Hypers()), data,
                loop.split_run_key(jax.random.key(1)), shape=SHAPE, num_epochs=1,
            )
        ),
        lambda data: loop.evaluate(
            VAE.evaluate, VAE.init(jax.random.key(0), Hypers()), data, jax.random.key(0), 4
        ),
    ],
    ids=["run", "jitted run", "fit", "evaluate"],
)  # fmt: skip
def test_nothing_is_trained_or_evaluated_on_floating_point(start):
    with pytest.raises(InputError, match="must be uint8 from 0 to 255, but are float32"):
        start(floats())


def test_labels_out_of_range_are_named_before_the_first_step():
    """Flax's embedding would return NaN."""
    learner = cgan(
        Generator((4, 4, 1), 2, 3, (4,)), Discriminator((4, 4, 1), 3, (4,)), non_saturating()
    )
    data = Batch(jnp.asarray(PIXELS), jnp.asarray(LABEL + 1))
    with pytest.raises(
        InputError, match=r"must be from 0 to 2, but are from 1 to 3: use `label - 1`"
    ):
        loop.run(learner, data, jax.random.key(0), GANHypers(), shape=SHAPE, num_epochs=1)
    with pytest.raises(InputError, match="must be from 0 to 2, but are from 1 to 3"):
        next(
            loop.fit(
                loop.trainer(learner.step), learner.init(jax.random.key(0), GANHypers()), data,
                loop.split_run_key(jax.random.key(1)), shape=SHAPE, num_epochs=1,
                num_classes=learner.num_classes,
            )
        )  # fmt: skip


def test_under_jit_only_what_is_static_is_checked():
    jax.jit(lambda batch: check_batch(batch, 2))(Batch(jnp.asarray(PIXELS), jnp.asarray(LABEL)))
    with pytest.raises(InputError, match="but are float32: use"):
        jax.jit(check_batch)(floats())
