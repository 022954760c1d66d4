"""A small classifier of digits, which tells whether a sample is of the class it was asked for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxgen.layers import Conv
from jaxgen.training import loop
from jaxgen.types import (
    Batch,
    Metrics,
    TrainState,
    create_train_state,
    traced_learning_rate,
)

NUM_STEPS = 2400  # four epochs of MNIST
BATCH_SIZE = 100
LEARNING_RATE = 2e-3


class Judge(nn.Module):
    """Three convolutions that halve the image, and a hidden layer."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Logits of images in [0, 1]."""
        x = image
        for features in (16, 32, 64):
            x = nn.relu(Conv(features, strides=(2, 2))(x))
        x = nn.relu(nn.Dense(128)(x.reshape(x.shape[0], -1)))
        return nn.Dense(self.num_classes)(x)


def train(judge: Judge, data: Batch, key: Key[Array, ""]) -> PyTree:
    """The judge's parameters after 2400 updates, with a rate that falls along a cosine."""
    keys = loop.split_run_key(key)
    shape = loop.epoch_shape(len(data.label), min(BATCH_SIZE, len(data.label)))
    num_epochs = -(-NUM_STEPS // shape.num_steps)
    decay = optax.cosine_decay_schedule(1.0, num_epochs * shape.num_steps)
    optimizer = traced_learning_rate(
        lambda rate: optax.chain(optax.adam(rate), optax.scale_by_schedule(decay))
    )

    def init(key: Key[Array, ""]) -> TrainState:
        params = judge.init(key, data.image[:1] / 255)
        return create_train_state(judge.apply, params, optimizer, LEARNING_RATE)

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, Metrics]:
        def loss_fn(params: PyTree) -> Float[Array, ""]:
            logits = judge_logits(judge, params, batch.image / 255)
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch.label).mean()

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grads), {"loss": loss}

    state = jax.jit(init)(keys.init)
    train_chunk = loop.trainer(step)
    for chunk in loop.fit(train_chunk, state, data, keys, shape=shape, num_epochs=num_epochs):
        state = chunk.state
    return state.params


def recognises(
    judge: Judge, params: PyTree, image: Float[Array, "b h w c"], label: Int[Array, "b"]
) -> Bool[Array, "b"]:
    """Whether the judge takes each image, in [0, 1], for one of the class `label`."""
    return judge_logits(judge, params, image).argmax(-1) == label


def judge_logits(
    judge: Judge, params: PyTree, image: Float[Array, "b h w c"]
) -> Float[Array, "b k"]:
    """Unnormalised log-probabilities of the classes of images in [0, 1]."""
    return judge.apply({"params": params}, image)  # pyright: ignore[reportReturnType]


def share_recognised(
    judge: Judge,
    params: PyTree,
    sample: Callable[[Int[Array, "n"], Key[Array, ""]], Float[Array, "n h w c"]],
    key: Key[Array, ""],
    *,
    num_batches: int,
    batch_size: int,
) -> Float[Array, ""]:
    """How many of `num_batches * batch_size` samples, all classes alike, are of their class."""
    labels = jnp.arange(batch_size) % judge.num_classes

    def share(key: Key[Array, ""]) -> Float[Array, ""]:
        return recognises(judge, params, sample(labels, key), labels).mean()

    return lax.map(share, jax.random.split(key, num_batches)).mean()
