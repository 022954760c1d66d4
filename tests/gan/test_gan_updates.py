"""Each network's update is the course's, and touches that network alone."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Key
from scipy.special import expit, log_expit
from tiny_gan import (
    DISCRIMINATOR,
    GENERATOR,
    KEY,
    LEARNERS,
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


class Keys(NamedTuple):
    """The keys of a step, by what they are for, and those of its parts."""

    inputs: tuple[Key[Array, ""], Key[Array, ""]]  # of labels and noise
    dropout: Key[Array, ""]
    parts: list["PartKeys"]


class PartKeys(NamedTuple):
    """The keys of an update of the discriminator."""

    inputs: tuple[Key[Array, ""], Key[Array, ""]]
    dropout: Key[Array, ""]
    critic: Key[Array, ""]
    penalty: Key[Array, ""]


def keys_of(step_key, num_parts=1) -> Keys:
    generator_key, *part_keys = jax.random.split(step_key, 1 + num_parts)
    parts = []
    for key in part_keys:
        label_key, noise_key, update_key = jax.random.split(key, 3)
        parts.append(PartKeys((label_key, noise_key), *jax.random.split(update_key, 3)))
    label_key, noise_key, dropout_key = jax.random.split(generator_key, 3)
    return Keys((label_key, noise_key), dropout_key, parts)


def random_inputs(keys, num):
    """Noise and labels of fakes."""
    label_key, noise_key = keys
    label = jax.random.randint(label_key, (num,), 0, 4)
    return jax.random.normal(noise_key, (num, 3)), label


def draw(generator, noise, label) -> Any:
    """Fakes, normalized by their own statistics."""
    return GENERATOR.apply(generator.variables, noise, label, train=True, mutable=["batch_stats"])[
        0
    ]


def test_the_step_is_the_course_s():
    """Against the course's loop spelled out, its order and its detached fakes.

    Without dropout the only randomness is that of noise and labels, whose keys are known.
    """
    learner = build("plain")
    state = learner.init(KEY, Hypers())
    key = jax.random.key(7)
    new_state, metrics = learner.step(state, batch(), key)

    noise, label = random_inputs(keys_of(key).inputs, 8)
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
    """With a rate of zero one network is bit-identical, while the other moves in every leaf."""
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
    """The metrics are the last step's; a discriminator with a rate of zero stays what it was."""
    learner, key = build("wasserstein"), jax.random.key(7)
    state = learner.init(KEY, Hypers(1.0, 0.0))
    new_state, metrics = learner.step(state, batch(), key)

    @jax.jit
    def critic(image, label):
        return WITHOUT_DROPOUT.apply(state.discriminator.variables, image, label, train=False)

    keys = keys_of(key, num_parts=2)
    noise, label = random_inputs(keys.inputs, 4)
    first = critic(draw(state.generator, noise, label), label).mean()
    np.testing.assert_allclose(metrics["generator_loss"], -first, rtol=1e-4)  # Wasserstein's is -D
    noise, label = random_inputs(keys.parts[1].inputs, 4)
    fake = draw(new_state.generator, noise, label)
    np.testing.assert_allclose(metrics["d_fake"], critic(fake, label).mean(), rtol=1e-4)
    real, real_label = pixels(batch().image[4:]), batch().label[4:]
    np.testing.assert_allclose(metrics["d_real"], critic(real, real_label).mean(), rtol=1e-5)
    penalty = objectives.gradient_penalty(
        lambda image: critic(image, real_label), real, fake, keys.parts[1].penalty
    )
    np.testing.assert_allclose(metrics["penalty"], penalty.mean(), rtol=1e-4)
    loss = (-(0.9 - 0.1) * metrics["d_real"] + metrics["d_fake"]) / 2  # by the label smoothing
    np.testing.assert_allclose(metrics["discriminator_loss"], loss, rtol=1e-5)


def test_dropout_differs_between_the_updates_and_between_real_and_fake():
    learner, key = build("ema"), jax.random.key(7)
    state = learner.init(KEY, Hypers())
    metrics = learner.step(state, batch(), key)[1]

    @jax.jit
    def logits(image, label, dropout_key):
        rngs = {"dropout": dropout_key}
        return DISCRIMINATOR.apply(
            state.discriminator.variables, image, label, train=True, rngs=rngs
        )

    keys = keys_of(key)
    noise, label = random_inputs(keys.inputs, 8)
    fake = draw(state.generator, noise, label)
    loss = log_expit(-logits(fake, label, keys.dropout)).mean()
    np.testing.assert_allclose(metrics["generator_loss"], loss, rtol=1e-5)
    images = jnp.concatenate([pixels(batch().image), fake])
    labels = jnp.concatenate([batch().label, label])
    real_scores, fake_scores = np.split(expit(logits(images, labels, keys.parts[0].dropout)), 2)
    np.testing.assert_allclose(metrics["d_real"], real_scores.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["d_fake"], fake_scores.mean(), rtol=1e-5)


@pytest.mark.parametrize("function", ["init", "step", "evaluate", "sample"])
def test_no_key_is_used_twice(function):
    """By JAX's own check, which looks at a program as it is traced."""
    learner = tiny_cgan(**LEARNERS["wasserstein"] | {"discriminator": DISCRIMINATOR})
    state = jax.eval_shape(learner.init, KEY, Hypers())
    arguments = {
        "init": (KEY, Hypers()),
        "step": (state, batch(), KEY),
        "evaluate": (state, batch(), KEY),
        "sample": (state, batch().label, KEY),
    }
    with jax.debug_key_reuse(True):
        jax.eval_shape(jax.jit(getattr(learner, function)), *arguments[function])


def test_units_drop_out_in_every_update():
    """A discriminator all of whose units drop out returns 0 for every image."""
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


@pytest.mark.parametrize("num_discriminator_steps", [1, 2])
def test_a_single_image_per_update_has_no_batch_statistics(num_discriminator_steps):
    learner = tiny_cgan(
        objective=objectives.least_squares(), num_discriminator_steps=num_discriminator_steps
    )
    images = jax.tree.map(lambda array: array[:num_discriminator_steps], batch())
    with pytest.raises(InputError, match="a single image has none"):
        learner.step(learner.init(KEY, Hypers()), images, KEY)


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
