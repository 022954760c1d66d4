from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.types import Batch, Learner

KEY = jax.random.key(0)
GENERATOR = Generator((4, 4, 1), latent_dim=3, num_classes=4, hidden_dims=(8, 12))
DISCRIMINATOR = Discriminator((4, 4, 1), num_classes=4, hidden_dims=(8, 8))
PLAIN_METRICS = {
    "generator_loss",
    "discriminator_loss",
    "d_real",
    "d_fake",
    "generator_grad_norm",
    "discriminator_grad_norm",
}


LEARNERS = {
    "plain": {
        "objective": objectives.least_squares(),
        "discriminator": DISCRIMINATOR.clone(dropout_rate=0.0),
    },
    "ema": {"objective": objectives.minimax(), "ema_decay": 0.75, "label_smoothing": 0.1},
    "wasserstein": {
        "objective": objectives.wasserstein(),
        "num_discriminator_steps": 2,
        "penalty": objectives.gradient_penalty,
    },
    "r1": {"objective": objectives.non_saturating(), "penalty": objectives.r1},
}


@cache
def build(name: str) -> Learner:
    """A learner whose functions are compiled once for the whole module."""
    options = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, **LEARNERS[name]}
    learner = cgan(**options)
    step = jax.jit(chex.assert_max_traces(learner.step, n=1))
    others = (learner.evaluate, learner.generate, learner.sample)
    return Learner(jax.jit(learner.init), step, *map(jax.jit, others))


@pytest.fixture(autouse=True)
def _count_traces_from_zero():
    chex.clear_trace_counter()  # it tells functions apart by their names only


@pytest.fixture(scope="module")
def learner() -> Learner:
    return build("plain")


def batch(num=8, seed=5) -> Batch:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, size=(num, 4, 4, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.asarray(rng.integers(0, 4, size=num), jnp.int32))


def pixels(image):
    return jnp.float32(np.float32(image) / 127.5 - 1)


def all_differ(a, b) -> bool:
    return all((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


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
    init, *_ = cgan(
        GENERATOR.clone(hidden_dims=(2,)),
        DISCRIMINATOR.clone(hidden_dims=(2,)),
        objectives.hinge(),
        ema_decay=0.9,
    )
    leaves = jax.tree.leaves(init(KEY, Hypers()))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


def test_a_generator_without_batch_norm():
    learner = cgan(GENERATOR.clone(hidden_dims=(2,)), DISCRIMINATOR, objectives.hinge())

    def run():
        state, _ = learner.step(learner.init(KEY, Hypers()), batch(), KEY)
        return state.step, learner.sample(state, jnp.arange(4), KEY)

    assert jax.eval_shape(run)[1].shape == (4, 4, 4, 1)


def test_deterministic_and_pure(learner):
    state = learner.init(KEY, Hypers())
    before = [np.array(x) for x in jax.tree.leaves(state)]
    one = learner.step(state, batch(), jax.random.key(1))
    two = learner.step(state, batch(), jax.random.key(1))
    chex.assert_trees_all_equal(one, two)
    chex.assert_trees_all_equal(jax.tree.leaves(state), before)
    other, _ = learner.step(state, batch(), jax.random.key(2))
    assert all_differ(one[0].generator.params, other.generator.params)


def test_the_step_is_the_course_s(learner):
    """Against the course's loop spelled out, its order and its detached fakes.

    Without dropout the only randomness is that of noise and labels, whose keys are known.
    """
    discriminator = DISCRIMINATOR.clone(dropout_rate=0.0)
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
            return discriminator.apply({"params": params}, image, label, train=False)

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
def test_each_update_touches_its_own_network_only(learner, frozen):
    """With a rate of zero one network stays to the bit, while the other moves in every leaf."""
    moving = {"generator": "discriminator", "discriminator": "generator"}[frozen]
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
    kernels = [x.discriminator.params["Dense_0"]["kernel"] for x in (one, two)]
    assert (kernels[0] != kernels[1]).any()
    chex.assert_trees_all_equal(one.generator.params, two.generator.params)


def test_a_batch_that_cannot_be_split():
    init, step, *_ = cgan(
        GENERATOR, DISCRIMINATOR, objectives.wasserstein(), num_discriminator_steps=5
    )
    with pytest.raises(InputError, match=r"batch of 8 .* 5 discriminator steps"):
        jax.eval_shape(lambda: step(init(KEY, Hypers()), batch(), KEY))


def test_penalty_weight():
    learner = build("r1")
    key = jax.random.key(3)
    states = [learner.init(KEY, Hypers(penalty_weight=w)) for w in (0.0, 100.0)]
    (none, a), (much, b) = (learner.step(state, batch(), key) for state in states)
    np.testing.assert_array_equal(a["penalty"], b["penalty"])  # unweighted, before the update
    assert a["discriminator_grad_norm"] < b["discriminator_grad_norm"]
    chex.assert_trees_all_equal(none.generator.params, much.generator.params)


def test_ema():
    learner = build("ema")
    state = learner.init(KEY, Hypers(generator_learning_rate=0.1))
    average = jax.tree.map(np.float64, state.generator.variables)
    for t in range(3):
        state, _ = learner.step(state, batch(), jax.random.key(t))
        average = jax.tree.map(
            lambda a, x: 0.75 * a + 0.25 * np.float64(x), average, state.generator.variables
        )
    chex.assert_trees_all_close(jax.tree.map(np.float64, state.ema), average, atol=1e-6)
    labels = jnp.arange(4)
    of_average = learner.sample(state, labels, KEY)
    of_itself = learner.sample(state._replace(ema=state.generator.variables), labels, KEY)
    assert (of_average != of_itself).any()
    # the raw generator plays no part in samples
    raw = state.generator.replace(params=jax.tree.map(jnp.zeros_like, state.generator.params))
    np.testing.assert_array_equal(
        learner.sample(state._replace(generator=raw), labels, KEY), of_average
    )


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_sample_statistics(statistics):
    """By running averages an image depends on its own noise and label; by the batch, on all."""
    objective = objectives.least_squares()
    learner = cgan(GENERATOR, DISCRIMINATOR, objective, sample_statistics=statistics)
    sample = jax.jit(learner.sample)
    state = build("plain").init(KEY, Hypers())
    labels = jnp.array([0, 1, 2, 3])
    images = sample(state, labels, KEY)
    assert images.shape == (4, 4, 4, 1)
    assert ((images >= 0) & (images <= 1)).all()
    others = sample(state, jnp.array([0, 1, 2, 0]), KEY)
    assert (images[0] != others[0]).any() == (statistics == "batch")
    assert (images[3] != others[3]).any()


def test_evaluate(learner):
    state = learner.init(KEY, Hypers())
    result = learner.evaluate(state, batch(), KEY)
    assert set(result) == {"generator_loss", "discriminator_loss", "d_real", "d_fake"}
    apply = jax.jit(partial(DISCRIMINATOR.apply, train=False))
    real = apply(state.discriminator.variables, pixels(batch().image), batch().label)
    np.testing.assert_allclose(result["d_real"], real, rtol=1e-5, atol=1e-6)
    d_fake = np.float64(result["d_fake"])
    np.testing.assert_allclose(result["generator_loss"], (d_fake - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(
        result["discriminator_loss"], ((real - 1) ** 2 + d_fake**2) / 2, rtol=1e-5
    )
    chex.assert_trees_all_equal(result, learner.evaluate(state, batch(), KEY))


def test_vmap_over_keys_and_hypers_equals_a_loop():
    """With plain gradient descent: Adam would blow up the rounding of gradients that are zero."""
    keys = jax.random.split(KEY, 3)
    rates = jnp.array([0.01, 0.1, 1.0])
    hypers = Hypers(rates, rates[::-1], jnp.array([0.0, 1.0, 10.0]))
    init, step, _, _, sample, _ = cgan(
        GENERATOR,
        DISCRIMINATOR,
        objectives.non_saturating(),
        penalty=objectives.r1,
        optimizer=optax.sgd,
    )

    def run(key, hypers):
        state, metrics = step(init(key, hypers), batch(), key)
        return state, metrics, sample(state, jnp.arange(4), key)

    together = jax.jit(jax.vmap(run))(keys, hypers)
    alone = jax.jit(run)
    for i in range(3):
        member = alone(keys[i], jax.tree.map(lambda x, i=i: x[i], hypers))
        for a, b in zip(jax.tree.leaves(member), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [-100.0, 100.0])
@pytest.mark.parametrize("name", ["plain", "ema", "r1"])
def test_extremes(name, bias):
    """A discriminator that is sure (logits of a hundred) leaves every gradient finite."""
    learner = build(name)
    state = learner.init(KEY, Hypers())
    params = dict(state.discriminator.params)
    last = params["Dense_2"]
    params["Dense_2"] = {"kernel": last["kernel"] * 100, "bias": last["bias"] + bias}
    state = state._replace(discriminator=state.discriminator.replace(params=params))
    new_state, metrics = learner.step(state, batch(), KEY)
    chex.assert_tree_all_finite(jax.tree.leaves((new_state, metrics)))


def test_it_learns():
    """Each class is one grey: after a while, labels decide the samples' brightness."""
    label = jnp.arange(32) % 4
    image = jnp.broadcast_to((label * 80 + 8)[:, None, None, None], (32, 4, 4, 1))
    data = Batch(image.astype(jnp.uint8), label)
    init, step, _, _, sample, _ = cgan(
        GENERATOR, DISCRIMINATOR, objectives.least_squares(), sample_statistics="running"
    )

    @jax.jit
    def train(key):
        state = init(key, Hypers(2e-3, 2e-3))
        keys = jax.random.split(key, 1000)
        state, _ = jax.lax.scan(lambda state, key: step(state, data, key), state, keys)
        return sample(state, label, key)

    brightness = train(KEY).reshape(8, 4, -1).mean((0, 2))
    np.testing.assert_allclose(brightness, np.array([8, 88, 168, 248]) / 255, atol=0.15)
