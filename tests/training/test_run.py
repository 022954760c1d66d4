"""A whole run as one pure function: the same numbers as `fit`, under `jit` and `vmap` alike."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.gan import Discriminator, Generator, cgan, non_saturating
from jaxgen.gan import Hypers as GANHypers
from jaxgen.training import loop, sharding
from jaxgen.types import Batch
from jaxgen.vae import MLPVAE, ConvVAE, Hypers, bernoulli, vae

SHAPE = loop.EpochShape(2, 3, 8)
NUM_EPOCHS = 2
LEARNERS = {
    "mlp": (vae(MLPVAE((8, 8, 1), 2, (8,)), bernoulli()), Hypers(1e-2)),
    "conv": (vae(ConvVAE((8, 8, 1), 2, (4, 8)), bernoulli()), Hypers(1e-2)),
    "cgan": (
        cgan(Generator((8, 8, 1), 3, 4, (8, 8)), Discriminator((8, 8, 1), 4, (8, 8)),
             non_saturating(), ema_decay=0.9),
        GANHypers(1e-2, 1e-2),
    ),
}  # fmt: skip


def images(num=50):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.arange(num, dtype=jnp.int32) % 4)


def fit(name, seed):
    """The state and all metrics, chunk by chunk."""
    learner, hypers = LEARNERS[name]
    keys = loop.split_run_key(jax.random.key(seed))
    state = jax.jit(learner.init)(keys.init, hypers)
    chunks = []
    for chunk in loop.fit(
        loop.trainer(learner.step), state, images(), keys, shape=SHAPE, num_epochs=NUM_EPOCHS
    ):
        chunks.append(chunk.metrics)
        state = jax.device_get(chunk.state)
    metrics = jax.tree.map(lambda *values: np.concatenate(values), *chunks)
    return state, jax.tree.map(lambda x: x.reshape(NUM_EPOCHS, SHAPE.num_steps), metrics)


@cache
def run(name):
    """A whole run, compiled."""
    learner, _ = LEARNERS[name]
    return jax.jit(
        lambda key, hypers: loop.run(
            learner, images(), key, hypers, shape=SHAPE, num_epochs=NUM_EPOCHS
        )
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_a_run_is_bit_identical_to_fit(name):
    state, metrics = run(name)(jax.random.key(3), LEARNERS[name][1])
    expected_state, expected_metrics = fit(name, 3)
    chex.assert_trees_all_equal(metrics, expected_metrics)
    chex.assert_trees_all_equal(jax.device_get(state), expected_state)
    assert state.step == NUM_EPOCHS * SHAPE.num_steps


def test_vmap_over_keys_and_hypers_equals_a_loop():
    keys = jax.random.split(jax.random.key(0), 3)
    hypers = Hypers(jnp.array([1e-2, 1e-3, 1e-2]), jnp.array([1.0, 1.0, 4.0]))
    _, together = jax.vmap(run("mlp"))(keys, hypers)
    assert together["loss"].shape == (3, NUM_EPOCHS, SHAPE.num_steps)
    for i in range(3):
        _, single = run("mlp")(keys[i], jax.tree.map(lambda values, i=i: float(values[i]), hypers))
        np.testing.assert_allclose(together["loss"][i], single["loss"], rtol=1e-4)


def test_a_run_that_diverges_is_frozen():
    state, metrics = run("mlp")(jax.random.key(0), Hypers(1e30))
    assert np.isfinite(metrics["loss"][0, 0])
    assert not np.isfinite(metrics["loss"][0, 1])
    for values in metrics.values():  # of all chunks after the first
        assert np.isnan(values.ravel()[SHAPE.chunk_steps :]).all()
    assert state.step == 0 < metrics["loss"].size
    chex.assert_tree_all_finite(jax.device_get(state.network.params))


def test_a_chunk_tells_that_its_run_has_diverged():
    learner, _ = LEARNERS["mlp"]
    keys = loop.split_run_key(jax.random.key(0))
    state = jax.jit(learner.init)(keys.init, Hypers(1e30))
    chunks = loop.fit(loop.trainer(learner.step), state, images(), keys, shape=SHAPE, num_epochs=1)
    seen = [(int(chunk.first_not_finite), bool(chunk.has_diverged)) for chunk in chunks]
    assert seen == [(1, True), (0, True)]  # the first chunk is left unchanged, and the second lost


def test_a_chunk_tells_which_members_have_diverged():
    learner, _ = LEARNERS["mlp"]
    where = sharding.layout(2, "map")
    keys = jax.vmap(loop.split_run_key)(jax.random.split(jax.random.key(0), 2))
    hypers = Hypers(jnp.array([1e30, 1e-2]), jnp.ones(2))
    state = jax.jit(where.lift(learner.init, (0, 0)))(keys.init, hypers)
    train = loop.trainer(learner.step, where)
    chunks = list(loop.fit(train, state, images(), keys, shape=SHAPE, num_epochs=2, layout=where))
    assert [chunk.has_diverged.tolist() for chunk in chunks] == [[True, False]] * 4
    assert np.asarray(chunks[-1].state.step).tolist() == [0, 12]
    assert np.isnan(chunks[-1].metrics["loss"][0]).all()
    assert np.isfinite(chunks[-1].metrics["loss"][1]).all()


def test_the_functions_are_pure():
    again = run.__wrapped__("mlp")  # traced anew
    one, two = (f(jax.random.key(5), Hypers(1e-2)) for f in (run("mlp"), again))
    chex.assert_trees_all_equal(one, two)
