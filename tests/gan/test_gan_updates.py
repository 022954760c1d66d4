"""Each network's update is the course's, and touches that network alone."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_gan import (
    DISCRIMINATOR,
    GENERATOR,
    KEY,
    WITHOUT_DROPOUT,
    all_differ,
    batch,
    build,
    pixels,
    tiny_cgan,
)

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers
from jaxgen.types import Batch


def test_the_step_is_the_course_s():
    """Against the course's loop spelled out, its order and its detached fakes.

    Without dropout the only randomness is that of noise and labels, whose keys are known.
    """
    learner = build("plain")
    state = learner.init(KEY, Hypers())
    key = jax.random.key(7)
    new_state, metrics = learner.step(state, batch(), key)

    label_key, noise_key, _ = jax.random.split(jax.random.split(key)[0], 3)
    label = jax.random.randint(label_key, (8,), 0, 4)
    noise = jax.random.normal(noise_key, (8, 3))
    real, real_label = pixels(batch().image), batch().label

    @jax.jit
    def course(g, d):
        def make(params):
            variables = {"params": params, "batch_stats": g.batch_stats}
            return GENERATOR.apply(variables, noise, label, train=True, mutable=["batch_stats"])[0]

        def validity(params, image, label) -> Any:
            return WITHOUT_DROPOUT.apply({"params": params}, image, label, train=False)

        def g_loss(params):
            return jnp.mean((validity(d.params, make(params), label) - 1) ** 2)

        def d_loss(params):
            fake = jax.lax.stop_gradient(make(g.params))  # before the generator's update
            real_loss = jnp.mean((validity(params, real, real_label) - 1) ** 2)
            return (real_loss + jnp.mean(validity(params, fake, label) ** 2)) / 2

        adam = optax.adam(2e-4, b1=0.5)

        def updated(params, grads):
            updates, _ = adam.update(grads, adam.init(params))
            return optax.apply_updates(params, updates)

        losses = g_loss(g.params), d_loss(d.params)
        grads = jax.grad(g_loss)(g.params), jax.grad(d_loss)(d.params)
        new = updated(g.params, grads[0]), updated(d.params, grads[1])
        return losses, jax.tree.map(optax.tree.norm, grads, is_leaf=lambda x: x is not grads), new

    losses, norms, (g_params, d_params) = course(state.generator, state.discriminator)
    np.testing.assert_allclose(metrics["generator_loss"], losses[0], rtol=1e-5)
    np.testing.assert_allclose(metrics["discriminator_loss"], losses[1], rtol=1e-5)
    np.testing.assert_allclose(metrics["generator_grad_norm"], norms[0], rtol=1e-4)
    np.testing.assert_allclose(metrics["discriminator_grad_norm"], norms[1], rtol=1e-4)
    # Adam's first update is the rate times the sign: compare to a hundredth of the rate
    chex.assert_trees_all_close(new_state.generator.params, g_params, atol=2e-6)
    chex.assert_trees_all_close(new_state.discriminator.params, d_params, atol=2e-6)


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_each_update_touches_its_own_network_only(frozen):
    """With a rate of zero one network stays to the bit, while the other moves in every leaf."""
    moving = {"generator": "discriminator", "discriminator": "generator"}[frozen]
    learner = build("plain")
    state = learner.init(KEY, Hypers()._replace(**{f"{frozen}_learning_rate": 0.0}))
    new_state, _ = learner.step(state, batch(64), KEY)
    still, before = getattr(new_state, frozen), getattr(state, frozen)
    chex.assert_trees_all_equal(still.params, before.params)
    moved = getattr(new_state, moving).params
    assert all_differ(moved, getattr(state, moving).params)


@pytest.mark.parametrize("name", ["plain", "wasserstein"])
def test_running_averages_move_once_a_step(name):
    """Also if more discriminator steps call for more fakes."""
    learner = build(name)
    state = learner.init(KEY, Hypers())
    new_state, _ = learner.step(state, batch(), KEY)
    var = new_state.generator.batch_stats["BatchNorm_0"]["var"]
    # from 1, towards variances that are small at the start: once is 0.9, twice would be 0.81
    assert ((var >= 0.9) & (var < 0.95)).all()
    assert new_state.discriminator.batch_stats == {}


@pytest.mark.parametrize("i", [0, 7])
def test_every_discriminator_step_sees_its_part_of_the_batch(i):
    learner = build("wasserstein")
    state = learner.init(KEY, Hypers())
    image = np.array(batch().image)
    image[i] = 255 - image[i]
    changed = Batch(jnp.asarray(image), batch().label)
    one, _ = learner.step(state, batch(), KEY)
    two, _ = learner.step(state, changed, KEY)
    kernels = [x.discriminator.params["JoinedDense_0"]["kernel"] for x in (one, two)]
    assert (kernels[0] != kernels[1]).any()
    chex.assert_trees_all_equal(one.generator.params, two.generator.params)


def test_later_discriminator_steps_take_new_fakes_of_the_new_generator():
    """The metrics are the last step's, and with a rate of zero the discriminator knows no steps."""
    learner = build("wasserstein")
    metrics = []
    for rate in (0.0, 1.0):
        state = learner.init(KEY, Hypers(rate, 0.0))
        metrics.append(learner.step(state, batch(), KEY)[1])
    still, moved = metrics
    first_fakes = -still["generator_loss"]  # Wasserstein's is -D of them
    assert abs(still["d_fake"] - first_fakes) > 1e-4
    assert abs(still["d_fake"] - moved["d_fake"]) > 1e-4
    second_half = pixels(batch().image[4:]), batch().label[4:]
    real = WITHOUT_DROPOUT.apply(state.discriminator.variables, *second_half, train=False)
    np.testing.assert_allclose(still["d_real"], real.mean(), rtol=1e-5)
    loss = (-(0.9 - 0.1) * still["d_real"] + still["d_fake"]) / 2  # by the label smoothing
    np.testing.assert_allclose(still["discriminator_loss"], loss, rtol=1e-5)


def test_units_drop_out_in_every_update():
    """A discriminator all of whose units drop out says 0 whatever it sees."""
    learner = tiny_cgan(
        objective=objectives.wasserstein(),
        discriminator=DISCRIMINATOR.clone(dropout_rate=1.0),
        penalty=objectives.gradient_penalty,
    )

    @jax.jit
    def run():
        return learner.step(learner.init(KEY, Hypers()), batch(), KEY)[1]

    metrics = run()
    assert metrics["d_real"] == metrics["d_fake"] == metrics["generator_grad_norm"] == 0
    assert metrics["penalty"] == 1  # (|gradient| - 1)^2


def test_a_batch_that_cannot_be_split():
    learner = tiny_cgan(objective=objectives.wasserstein(), num_discriminator_steps=5)
    with pytest.raises(InputError, match=r"batch of 8 .* 5 discriminator steps"):
        jax.eval_shape(lambda: learner.step(learner.init(KEY, Hypers()), batch(), KEY))


def test_penalty_weight():
    """By plain gradient descent the update has a part that is half the weighted penalty's."""
    learner, key = build("r1"), jax.random.key(3)
    states = [learner.init(KEY, Hypers(0.1, 0.1, weight)) for weight in (0.0, 10.0)]
    (none, a), (much, b) = (learner.step(state, batch(), key) for state in states)
    np.testing.assert_array_equal(a["penalty"], b["penalty"])  # unweighted, before the update
    chex.assert_trees_all_equal(none.generator.params, much.generator.params)
    real = pixels(batch().image)

    @jax.jit
    @jax.grad
    def gradient(params) -> Any:
        def critic(image) -> Any:
            return WITHOUT_DROPOUT.apply({"params": params}, image, batch().label, train=False)

        return objectives.r1(critic, real, real, key).mean()

    at_start = states[0].discriminator.params
    by_penalty = jax.tree.map(jnp.subtract, much.discriminator.params, none.discriminator.params)
    expected = jax.tree.map(lambda g: -0.1 * 10 / 2 * g, gradient(at_start))
    chex.assert_trees_all_close(by_penalty, expected, atol=1e-6)
