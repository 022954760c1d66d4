"""No key is used twice, and no key is both split and folded into."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from key_uses import key_uses

from jaxgen.evaluation.classifier import Classifier
from jaxgen.recipes import cgan, vae
from jaxgen.recipes.recipe import Facts
from jaxgen.training import loop
from jaxgen.types import Batch
from jaxgen.vae import bernoulli
from jaxgen.vae import vae as vae_learner

KEY = jax.random.key(0)
SHAPE = loop.EpochShape(2, 2, 4)
FACTS = Facts("toy", (8, 8, 1), ("a", "b"), 20, "", SHAPE.num_steps, 2)


class DropoutVAE(nn.Module):
    """With dropout in both halves, and so with a stream of random numbers of its own."""

    image_shape: tuple[int, int, int] = (8, 8, 1)
    latent_dim: int = 2

    def setup(self):
        self.moments, self.start, self.last = nn.Dense(4), nn.Dense(5), nn.Dense(64)
        self.dropout = nn.Dropout(0.5)

    def encode(self, x, *, train):
        x = self.dropout(x.reshape(len(x), -1), deterministic=not train)
        mean, logvar = jnp.split(self.moments(x), 2, axis=-1)
        return mean, logvar

    def decode(self, z, *, train):
        x = self.dropout(self.start(z), deterministic=not train)
        return self.last(x).reshape(-1, 8, 8, 1)


def build_dropout_vae(config, facts):
    return vae.make_task(vae_learner(DropoutVAE(), bernoulli()))


RECIPES = {
    "vae": (vae.RECIPE, vae.Config(model="mlp", hidden_dims=(4,), latent_dim=2, num_samples=2)),
    "vae with dropout": (
        dataclasses.replace(vae.RECIPE, build=build_dropout_vae),
        vae.Config(),
    ),
    "cgan": (
        cgan.RECIPE,
        cgan.Config(
            generator_dims=(4, 4),
            discriminator_dims=(4, 4),
            latent_dim=3,
            num_discriminator_steps=2,
            penalty="gradient",
        ),
    ),
}


def data_of(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def images(num):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.arange(num, dtype=jnp.int32) % 2)


def everything(name, key):
    """Two epochs of training, then what a run does after an epoch."""
    recipe, config = RECIPES[name]
    task = recipe.build(config, FACTS)
    hypers = recipe.hypers(config)
    state, _ = loop.run(task.learner, images(20), key, hypers, shape=SHAPE, num_epochs=2)
    keys = loop.split_run_key(key)  # once more, for what comes after an epoch
    shapes = jax.eval_shape(Classifier(2).init, key, jnp.zeros((1, 8, 8, 1)))["params"]
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    metrics = task.evaluate(state, images(10), {"params": params, "accuracy": 1.0}, keys.evaluate)
    return metrics, task.draw(state, images(10), keys.draw)


@pytest.mark.parametrize("name", RECIPES)
def test_no_key_is_used_twice(monkeypatch, name):
    monkeypatch.setattr(cgan, "NUM_CLASSIFIED", 8)
    for module in (cgan, vae):
        monkeypatch.setattr(module, "EVALUATION_BATCH", 4)
    uses = key_uses(lambda key: everything(name, key), KEY)
    assert uses.split.pop(data_of(KEY)) == 2  # the run key, which this test has split once more
    assert len(uses.bits) > 30
    for counter in uses:
        assert set(counter.values()) == {1}
    drawn, split, folded = set(uses.bits), set(uses.split), {key for key, _ in uses.fold_in}
    assert not drawn & split
    assert not drawn & folded
    assert not split & folded


def draw_twice_in_a_scan(key):
    def body(step, _):
        step_key = jax.random.fold_in(key, step // 2)  # steps 0 and 1 have the same key
        return step + 1, jax.random.normal(step_key)

    return jax.lax.scan(body, 0, length=3)[1]


@pytest.mark.parametrize(
    "transform",
    [lambda f: f, jax.jit, jax.checkpoint, lambda f: lambda key: jax.vmap(f)(key[None])],
    ids=["plain", "jit", "remat", "vmap"],
)
def test_keys_that_are_used_twice_are_seen(transform):
    def misuse(key):
        key, other = jax.random.split(key)
        a = jax.random.normal(key, (2,)) + jax.random.normal(key, (200,))[:2]
        return a, draw_twice_in_a_scan(other)

    key, other = jax.random.split(KEY)
    uses = key_uses(transform(misuse), KEY)
    assert uses.split == {data_of(KEY): 1}
    assert uses.fold_in == {(data_of(other), 0): 2, (data_of(other), 1): 1}
    steps = [data_of(jax.random.fold_in(other, number)) for number in range(2)]
    assert uses.bits == {data_of(key): 2, steps[0]: 2, steps[1]: 1}


def test_a_key_that_depends_on_data_is_refused():
    with pytest.raises(AssertionError, match="random_fold_in depends on values"):
        key_uses(lambda key: jax.random.fold_in(key, jnp.int32(jnp.sum(jnp.ones(3)))), KEY)
    with pytest.raises(AssertionError, match="cond uses keys and is not followed"):
        key_uses(lambda key: jax.lax.cond(True, jax.random.normal, lambda key: 0.0, key), KEY)


def test_children_by_splitting_are_those_by_folding():
    """So no key may be both split and folded into."""
    assert data_of(jax.random.split(KEY, 2)[1]) == data_of(jax.random.fold_in(KEY, 1))


def test_epochs_and_steps_have_keys_of_their_own():
    keys = loop.split_run_key(KEY)
    streams = list(keys[:1] + keys[3:])
    streams += [jax.random.fold_in(keys.order, epoch) for epoch in range(2)]
    streams += [jax.random.fold_in(keys.step, step) for step in range(2 * SHAPE.num_steps)]
    assert len({data_of(key) for key in streams}) == len(streams)
