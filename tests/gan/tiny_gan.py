"""Learners small enough to compile in a moment, and images for them."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.gan import objectives
from jaxgen.gan.learner import cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.types import Batch, Learner

KEY = jax.random.key(0)
GENERATOR = Generator((4, 4, 1), latent_dim=3, num_classes=4, hidden_dims=(8, 12))
DISCRIMINATOR = Discriminator((4, 4, 1), num_classes=4, hidden_dims=(8, 8))
WITHOUT_DROPOUT = DISCRIMINATOR.clone(dropout_rate=0.0)
LEARNERS = {
    "plain": {"objective": objectives.least_squares(), "discriminator": WITHOUT_DROPOUT},
    "ema": {"objective": objectives.minimax(), "ema_decay": 0.75, "label_smoothing": 0.1},
    "wasserstein": {
        "objective": objectives.wasserstein(),
        "discriminator": WITHOUT_DROPOUT,
        "num_discriminator_steps": 2,
        "label_smoothing": 0.1,
        "penalty": objectives.gradient_penalty,
    },
    "r1": {
        "objective": objectives.non_saturating(),
        "discriminator": WITHOUT_DROPOUT,
        "penalty": objectives.r1,
        "optimizer": optax.sgd,
    },
}


def tiny_cgan(**options) -> Learner:
    return cgan(**{"generator": GENERATOR, "discriminator": DISCRIMINATOR} | options)


@cache
def build(name: str) -> Learner:
    """A learner whose functions are compiled once for all tests, and whose step is traced once."""
    learner = tiny_cgan(**LEARNERS[name])
    # chex counts the traces of functions, and a learner's are partial ones
    step = chex.assert_max_traces(lambda *args: learner.step(*args), n=1)
    functions = (learner.init, step, learner.evaluate, learner.generate, learner.sample)
    return Learner(*map(jax.jit, functions))


def batch(num=8, seed=5) -> Batch:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, size=(num, 4, 4, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.asarray(rng.integers(0, 4, size=num), jnp.int32))


def pixels(image):
    """In [-1, 1], as the networks see them."""
    return jnp.float32(np.float32(image) / 127.5 - 1)


def all_differ(a, b) -> bool:
    return all((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
