"""No key is used twice, and no key is both split and folded into.

Everything runs eagerly, so that the primitives see the keys themselves: whatever draws random bits,
splits a key or folds a number into one is recorded with the key's data.
"""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluation.classifier import Classifier
from jaxgen.recipes import cgan, vae
from jaxgen.recipes.recipe import Facts
from jaxgen.training import loop
from jaxgen.types import Batch

SHAPE = loop.EpochShape(2, 2, 4)
FACTS = Facts("toy", (8, 8, 1), ("a", "b"), 20, "", SHAPE.num_steps, 2)
RECIPES = {
    "vae": (vae.RECIPE, vae.Config(model="mlp", hidden_dims=(4,), latent_dim=2, num_samples=2)),
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


def primitives():
    """The primitives that draw bits, split a key and fold into one, by name."""
    key = jax.random.key(0)
    functions = (jax.random.split, lambda key: jax.random.fold_in(key, 1), jax.random.bits)
    equations = [
        equation
        for function in functions
        for outer in jax.make_jaxpr(function)(key).eqns
        for equation in (outer.params["jaxpr"].eqns if "jaxpr" in outer.params else [outer])
    ]
    return {equation.primitive.name: equation.primitive for equation in equations}


@pytest.fixture
def uses(monkeypatch):
    """Counters of the keys that draw bits, are split, and are folded into with a number."""
    counters = {"random_bits": Counter(), "random_split": Counter(), "random_fold_in": Counter()}

    def record(primitive):
        impl = primitive.impl

        def recorded(keys, *args, **params):
            rows = np.asarray(jax.random.key_data(keys)).reshape(-1, 2).tolist()
            if args:
                numbers = np.broadcast_to(np.asarray(args[0]), keys.shape).ravel().tolist()
                found = [(tuple(row), n) for row, n in zip(rows, numbers, strict=True)]
            else:
                found = [tuple(row) for row in rows]
            counters[primitive.name].update(found)
            with jax.disable_jit(False):  # the hash itself would take minutes
                return impl(keys, *args, **params)

        monkeypatch.setattr(primitive, "impl", recorded)

    found = primitives()
    for name in counters:
        record(found[name])
    return counters


def images(num):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.arange(num, dtype=jnp.int32) % 2)


def use_everything(name, monkeypatch):
    """Two epochs of training, then what a run does after an epoch, eagerly."""
    monkeypatch.setattr(cgan, "NUM_CLASSIFIED", 8)
    for module in (cgan, vae):
        monkeypatch.setattr(module, "EVALUATION_BATCH", 4)
    recipe, config = RECIPES[name]
    task, key = recipe.build(config, FACTS), jax.random.key(0)
    hypers = recipe.hypers(config)
    with jax.disable_jit():
        state, _ = loop.run(task.learner, images(20), key, hypers, shape=SHAPE, num_epochs=2)
        keys = loop.split_run_key(key)  # once more, for what comes after an epoch
        shapes = jax.eval_shape(Classifier(2).init, key, jnp.zeros((1, 8, 8, 1)))["params"]
        params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
        task.evaluate(state, images(10), {"params": params, "accuracy": 1.0}, keys.evaluate)
        task.draw(state, images(10), keys.draw)


@pytest.mark.parametrize("name", RECIPES)
def test_no_key_is_used_twice(uses, monkeypatch, name):
    use_everything(name, monkeypatch)
    root = tuple(np.asarray(jax.random.key_data(jax.random.key(0))).tolist())
    assert uses["random_split"].pop(root) == 2  # the run key, which this test has split once more
    assert len(uses["random_bits"]) > 30
    assert set(uses["random_bits"].values()) == {1}
    assert set(uses["random_split"].values()) == {1}
    assert set(uses["random_fold_in"].values()) == {1}
    drawn, split = set(uses["random_bits"]), set(uses["random_split"])
    folded = {key for key, _ in uses["random_fold_in"]}
    assert not drawn & split
    assert not drawn & folded
    assert not split & folded


def test_the_check_sees_a_key_that_is_used_twice(uses):
    """And that a key's children by splitting are its children by folding."""
    key = jax.random.key(7)
    with jax.disable_jit():
        jax.random.normal(key, (2,))
        jax.random.normal(key, (3,))
        jax.random.split(key, 2)
        jax.random.fold_in(key, 1)
    data = tuple(np.asarray(jax.random.key_data(key)).tolist())
    assert uses["random_bits"][data] == 2
    assert uses["random_split"][data] == 1
    assert uses["random_fold_in"][data, 1] == 1
    assert (jax.random.split(key, 2)[1] == jax.random.fold_in(key, 1)).all()


def test_epochs_and_steps_have_keys_of_their_own():
    keys = loop.split_run_key(jax.random.key(0))
    streams = list(keys[:1] + keys[3:])
    streams += [jax.random.fold_in(keys.order, epoch) for epoch in range(2)]
    streams += [jax.random.fold_in(keys.step, step) for step in range(2 * SHAPE.num_steps)]
    data = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in streams}
    assert len(data) == len(streams)
