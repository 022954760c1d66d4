"""A small image classifier, which checks whether samples belong to the requested class."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Bool, Float, Key, PyTree

from jaxgen.layers import Conv
from jaxgen.pixels import to_unit
from jaxgen.training import loop
from jaxgen.training.schedules import cosine_decay
from jaxgen.types import (
    Batch,
    Labels,
    Metrics,
    TrainState,
    UnitImages,
    create_train_state,
    traced_learning_rate,
)

BATCH_SIZE = 100
LEARNING_RATE = 2e-3
NUM_FEATURES = 128
NUM_IMAGES = 60_000  # of the training set: all of MNIST
NUM_STEPS = 2400  # four epochs of MNIST; fewer for larger images and smaller sets
NUM_EPOCHS = 60  # at most
MIN_STEPS = 600


class Classifier(nn.Module):
    """Three convolutions that halve the image, and a hidden layer."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, image: UnitImages, *, hidden: bool = False) -> Float[Array, "n k"]:
        """Compute the logits of the classes, or the activations of the hidden layer."""
        x = image
        for features in (16, 32, 64):
            x = nn.relu(Conv(features, strides=(2, 2))(x))
        x = nn.relu(nn.Dense(NUM_FEATURES)(x.reshape(x.shape[0], -1)))
        return x if hidden else nn.Dense(self.num_classes)(x)


def root_key() -> Key[Array, ""]:
    """Return a fixed key that no seed of a run yields, so that all runs share a classifier."""
    return jax.random.wrap_key_data(jnp.array([1, 0], jnp.uint32))


def train(classifier: Classifier, data: Batch, key: Key[Array, ""], num_steps: int) -> PyTree:
    """Train for `num_steps` updates, rounded up to whole epochs, and return the parameters.

    The learning rate decays to 0 along a cosine.
    """
    keys = loop.split_run_key(key)
    shape = loop.epoch_shape(len(data.label), min(BATCH_SIZE, len(data.label)))
    num_epochs = -(-num_steps // shape.num_steps)
    optimizer = traced_learning_rate(
        cosine_decay(optax.adam, num_epochs * shape.num_steps, final_share=0.0)
    )

    def init(key: Key[Array, ""]) -> TrainState:
        params = classifier.init(key, to_unit(data.image[:1]))
        return create_train_state(classifier.apply, params, optimizer, LEARNING_RATE)

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, Metrics]:
        def loss_fn(params: PyTree) -> Float[Array, ""]:
            logits = predict(classifier, params, to_unit(batch.image))
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch.label).mean()

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grads), {"loss": loss}

    state = jax.jit(init)(keys.init)
    train_chunk = loop.trainer(step)
    for chunk in loop.fit(train_chunk, state, data, keys, shape=shape, num_epochs=num_epochs):
        state = chunk.state
    return state.params


def describe(classifier: Classifier) -> str:
    """Describe all that the result of `train_and_test` depends on besides the data."""
    return f"{classifier} {NUM_IMAGES} {NUM_STEPS} {NUM_EPOCHS} {MIN_STEPS}"


def num_steps(shape: tuple[int, ...]) -> int:
    """Return the number of updates on images [n, h, w, c]: fewer if they are few or large."""
    num_images, height, width, _ = shape
    passes = NUM_EPOCHS * num_images // BATCH_SIZE
    affordable = NUM_STEPS * 32 * 32 // (height * width)
    return min(NUM_STEPS, max(MIN_STEPS, min(passes, affordable)))


def train_and_test(classifier: Classifier, training: Batch, test: Batch) -> dict[str, PyTree]:
    """Train on the first `NUM_IMAGES` images, with the same key for every run.

    Returns the parameters (`params`) and the accuracy on the test set (`accuracy`).
    """
    first = jax.tree.map(lambda array: jnp.asarray(array[:NUM_IMAGES]), training)
    params = train(classifier, first, root_key(), num_steps(first.image.shape))
    return {"params": params, "accuracy": jax.jit(partial(accuracy, classifier))(params, test)}


def features(classifier: Classifier, params: PyTree, image: UnitImages) -> Float[Array, "n d"]:
    """Compute the activations of the hidden layer."""
    return classifier.apply({"params": params}, image, hidden=True)  # pyright: ignore[reportReturnType]


def predict(classifier: Classifier, params: PyTree, image: UnitImages) -> Float[Array, "n k"]:
    """Compute the logits of the classes."""
    return classifier.apply({"params": params}, image)  # pyright: ignore[reportReturnType]


def recognizes(
    classifier: Classifier, params: PyTree, image: UnitImages, label: Labels
) -> Bool[Array, "n"]:
    """Return whether each image is classified as its label."""
    return predict(classifier, params, image).argmax(-1) == label


def accuracy(
    classifier: Classifier, params: PyTree, data: Batch, batch_size: int = 500
) -> Float[Array, ""]:
    """Compute the share of real images that are classified as their label."""

    def correct(params: PyTree, batch: Batch, key: Key[Array, ""]) -> Metrics:
        return {"accuracy": recognizes(classifier, params, to_unit(batch.image), batch.label)}

    return loop.evaluate(correct, params, data, jax.random.key(0), batch_size)["accuracy"]


def share_recognized(
    classifier: Classifier,
    params: PyTree,
    sample: Callable[[Labels, Key[Array, ""]], UnitImages],
    key: Key[Array, ""],
    *,
    num_batches: int,
    batch_size: int,
) -> Float[Array, ""]:
    """Compute the share of `num_batches * batch_size` samples that are classified as their label.

    The labels are distributed evenly over the classes.
    """
    labels = jnp.arange(batch_size) % classifier.num_classes

    def share(key: Key[Array, ""]) -> Float[Array, ""]:
        return recognizes(classifier, params, sample(labels, key), labels).mean()

    return lax.map(share, jax.random.split(key, num_batches)).mean()
