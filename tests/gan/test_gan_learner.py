"""The conditional GAN as a learner: pure, traced once, one program for a whole population."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_gan import DISCRIMINATOR, GENERATOR, KEY, LEARNERS, all_differ, batch, build, tiny_cgan

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers
from jaxgen.types import Batch

PLAIN_METRICS = {
    "generator_loss",
    "discriminator_loss",
    "d_real",
    "d_fake",
    "generator_grad_norm",
    "discriminator_grad_norm",
}


@pytest.mark.parametrize("name", LEARNERS)
def test_one_trace_and_a_stable_state(name):
    learner, options = build(name), LEARNERS[name]
    state, metrics = learner.init(KEY, Hypers()), {}
    for t in range(3):
        assert state.step.dtype == jnp.int32
        assert state.step == t
        new_state, metrics = learner.step(state, batch(), jax.random.key(t))
        chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
        state = new_state
    assert set(metrics) == PLAIN_METRICS | ({"penalty"} if "penalty" in options else set())
    assert all(x.shape == () and np.isfinite(x) for x in metrics.values())
    assert state.generator.step == 3
    assert state.discriminator.step == 3 * options.get("num_discriminator_steps", 1)


def test_a_state_can_be_donated():
    """No two leaves share a buffer, not even where `init` is not compiled."""
    learner = tiny_cgan(
        generator=GENERATOR.clone(hidden_dims=(2,)),
        discriminator=DISCRIMINATOR.clone(hidden_dims=(2,)),
        objective=objectives.hinge(),
        ema_decay=0.9,
    )
    leaves = jax.tree.leaves(learner.init(KEY, Hypers()))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


def test_a_generator_without_batch_norm():
    generator = GENERATOR.clone(hidden_dims=(2,))
    learner = tiny_cgan(generator=generator, objective=objectives.hinge())

    def run():
        state, _ = learner.step(learner.init(KEY, Hypers()), batch(), KEY)
        return state.step, learner.sample(state, jnp.arange(4), KEY)

    assert jax.eval_shape(run)[1].shape == (4, 4, 4, 1)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and less than 1, but is 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"num_discriminator_steps": 0}, "num_discriminator_steps must be positive"),
        ({"generator": GENERATOR.clone(latent_dim=0)}, "latent_dim must be positive"),
        ({"generator": GENERATOR.clone(hidden_dims=(8, 0))}, r"hidden_dims .* is \(8, 0\)"),
        ({"discriminator": DISCRIMINATOR.clone(hidden_dims=(-8,))}, "hidden_dims must be"),
    ],
)
def test_options_out_of_range(options, hint):
    with pytest.raises(InputError, match=hint):
        tiny_cgan(objective=objectives.hinge(), **options)


def test_deterministic_and_pure():
    learner = build("plain")
    state = learner.init(KEY, Hypers())
    before = [np.array(x) for x in jax.tree.leaves(state)]
    one = learner.step(state, batch(), jax.random.key(1))
    two = learner.step(state, batch(), jax.random.key(1))
    chex.assert_trees_all_equal(one, two)
    chex.assert_trees_all_equal(jax.tree.leaves(state), before)
    other, _ = learner.step(state, batch(), jax.random.key(2))
    assert all_differ(one[0].generator.params, other.generator.params)


def test_vmap_over_keys_and_hypers_equals_a_loop():
    """With plain gradient descent: Adam would blow up the rounding of gradients that are zero."""
    keys = jax.random.split(KEY, 3)
    rates = jnp.array([0.01, 0.1, 1.0])
    hypers = Hypers(rates, rates[::-1], jnp.array([0.0, 1.0, 10.0]))

    def run(learner, key, hypers):
        state, metrics = learner.step(learner.init(key, hypers), batch(), key)
        return state, metrics, learner.sample(state, jnp.arange(4), key)

    together = jax.jit(jax.vmap(partial(run, tiny_cgan(**LEARNERS["r1"]))))(keys, hypers)
    for i in range(3):
        alone = run(build("r1"), keys[i], jax.tree.map(lambda x, i=i: x[i], hypers))
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [-100.0, 100.0])
@pytest.mark.parametrize("name", ["plain", "ema", "r1"])
def test_extremes(name, bias):
    """A discriminator that is sure (logits of a hundred) leaves every gradient finite."""
    learner = build(name)
    state = learner.init(KEY, Hypers())
    params = dict(state.discriminator.params)
    last = params["Dense_1"]
    params["Dense_1"] = {"kernel": last["kernel"] * 100, "bias": last["bias"] + bias}
    state = state._replace(discriminator=state.discriminator.replace(params=params))
    new_state, metrics = learner.step(state, batch(), KEY)
    chex.assert_tree_all_finite(jax.tree.leaves((new_state, metrics)))


def test_it_learns():
    """Each class is one grey: after a while, labels decide the samples' brightness."""
    label = jnp.arange(32) % 4
    image = jnp.broadcast_to((label * 80 + 8)[:, None, None, None], (32, 4, 4, 1))
    data = Batch(image.astype(jnp.uint8), label)
    learner = tiny_cgan(objective=objectives.least_squares(), sample_statistics="running")

    @jax.jit
    def train(key):
        state = learner.init(key, Hypers(2e-3, 2e-3))
        keys = jax.random.split(key, 1000)
        state, _ = jax.lax.scan(lambda state, key: learner.step(state, data, key), state, keys)
        return learner.sample(state, label, key)

    brightness = train(KEY).reshape(8, 4, -1).mean((0, 2))
    np.testing.assert_allclose(brightness, np.array([8, 88, 168, 248]) / 255, atol=0.15)
