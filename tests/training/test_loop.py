"""Epochs as scans: the same as a Python loop, every example once, exact after a resume."""

from dataclasses import replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxgen.errors import InputError
from jaxgen.training import compilation, loop
from jaxgen.training.sharding import layout
from jaxgen.types import Batch, Learner, create_train_state, traced_learning_rate

SIZE = 53


def make_data():
    """Each image tells its own index, in both of its pixels."""
    index = jnp.arange(SIZE)
    image = jnp.broadcast_to(index.astype(jnp.uint8).reshape(-1, 1, 1, 1), (SIZE, 1, 2, 1))
    return Batch(image, index)


def make_learner():
    """Fits one number to noisy pixels; its metrics tell what a step has seen."""
    optimizer = traced_learning_rate(optax.adam)

    def init(key, rate):
        return create_train_state(
            make_learner, {"params": {"value": jnp.zeros(())}}, optimizer, rate
        )

    def step(state, batch, key):
        def loss(params):
            noise = jax.random.normal(key, batch.label.shape)
            return jnp.mean((params["value"] - batch.image.mean((1, 2, 3)) - noise) ** 2)

        value, grad = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=grad), {"loss": value, "seen": batch.label}

    def evaluate(state, batch, key):
        return {"index": batch.label.astype(jnp.float32), "noise": jax.random.normal(key, (4,))}

    def unused(*args):
        return jnp.zeros(())

    return Learner(init, step, evaluate, generate=unused, sample=unused)


def run(learner, state, shape, num_epochs):
    keys = loop.split_run_key(jax.random.key(0))
    train = loop.trainer(learner.step)
    return loop.fit(train, state, make_data(), keys, shape=shape, num_epochs=num_epochs)


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "expected"),
    [
        (60_000, 64, (36, 26, 64)),  # of 937 steps, a prime, one is left out
        (60_000, 128, (18, 26, 128)),
        (4_000, 64, (2, 31, 64)),
        (100, 10, (1, 10, 10)),
        (24, 24, (1, 1, 24)),
    ],
)
def test_epochs_are_cut_into_equal_chunks_that_leave_little_out(num_examples, batch_size, expected):
    shape = loop.epoch_shape(num_examples, batch_size)
    assert shape == expected
    assert shape.num_steps == expected[0] * expected[1]


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(InputError, match="batch of 54 is larger than the training set of 53"):
        loop.epoch_shape(SIZE, 54)


def test_an_epoch_sees_no_example_twice_and_each_epoch_has_its_own_order():
    shape = loop.EpochShape(2, 5, 5)
    orders = [
        np.asarray(loop.epoch_order(jax.random.key(0), epoch, SIZE, shape)).ravel()
        for epoch in range(30)
    ]
    assert all(len(set(order)) == 50 for order in orders)
    assert len({tuple(order) for order in orders}) == 30
    assert len({tuple(sorted(set(range(SIZE)) - set(order))) for order in orders}) > 20
    assert set(np.concatenate(orders)) == set(range(SIZE))


def test_a_chunk_is_a_python_loop_of_steps():
    learner, data = make_learner(), make_data()
    state = learner.init(jax.random.key(0), 0.1)
    order = loop.epoch_order(jax.random.key(1), 0, SIZE, loop.EpochShape(1, 6, 8))[0]
    key = jax.random.key(2)
    scanned, metrics = jax.jit(partial(loop.train_chunk, learner.step))(state, data, order, key)
    step = jax.jit(learner.step)
    for index, row in enumerate(np.asarray(order)):
        batch = Batch(data.image[row], data.label[row])
        state, expected = step(state, batch, jax.random.fold_in(key, index))
        assert_allclose(metrics["loss"][index], expected["loss"], rtol=1e-6)
        assert_array_equal(metrics["seen"][index], row)
    chex.assert_trees_all_close(scanned, state, rtol=1e-6)


def test_fit_goes_through_all_epochs_chunk_by_chunk():
    learner, shape = make_learner(), loop.EpochShape(2, 3, 8)
    state = learner.init(jax.random.key(0), 0.1)
    chunks = list(run(learner, state, shape, num_epochs=3))
    assert [chunk.epoch for chunk in chunks] == [0, 0, 1, 1, 2, 2]
    assert [chunk.step for chunk in chunks] == [3, 6, 9, 12, 15, 18]
    assert [chunk.ends_epoch for chunk in chunks] == [False, True] * 3
    assert all(chunk.seconds > 0 for chunk in chunks)
    assert chunks[-1].state.step == 18
    for first, second in zip(chunks[::2], chunks[1::2], strict=True):
        seen = np.concatenate([first.metrics["seen"].ravel(), second.metrics["seen"].ravel()])
        assert len(set(seen)) == 48


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_run_continued_from_any_chunk_ends_the_same_to_the_bit(stop):
    learner, shape = make_learner(), loop.EpochShape(2, 3, 8)
    *_, whole = run(learner, learner.init(jax.random.key(0), 0.1), shape, 3)
    chunks = run(learner, learner.init(jax.random.key(0), 0.1), shape, 3)
    *_, stopped = (next(chunks) for _ in range(stop))
    *_, resumed = run(learner, jax.tree.map(jnp.copy, stopped.state), shape, 3)
    chex.assert_trees_all_equal(resumed.state, whole.state)
    assert_array_equal(resumed.metrics["loss"], whole.metrics["loss"])


def test_a_run_is_traced_once_also_when_it_is_resumed():
    learner, shape = make_learner(), loop.EpochShape(2, 3, 8)
    state = learner.init(jax.random.key(0), 0.1)
    counted = replace(learner, step=chex.assert_max_traces(learner.step, n=1))
    *_, chunk = run(counted, state, shape, num_epochs=2)
    chex.clear_trace_counter()
    resumed = replace(learner, step=chex.assert_max_traces(learner.step, n=1))
    *_, chunk = run(resumed, jax.tree.map(jnp.copy, chunk.state), shape, num_epochs=4)
    assert chunk.state.step == 24


def test_evaluation_counts_every_example_once_whatever_the_batch():
    learner = make_learner()
    result = loop.evaluate(learner.evaluate, None, make_data(), jax.random.key(0), batch_size=4)
    assert_allclose(result["index"], np.arange(SIZE).mean(), rtol=1e-6)


def test_evaluation_draws_noise_of_its_own_for_each_batch():
    learner = make_learner()
    key = jax.random.key(0)
    result = loop.evaluate(learner.evaluate, None, make_data(), key, batch_size=4)
    draws = [jax.random.normal(jax.random.fold_in(key, i), (4,)) for i in range(14)]
    assert_allclose(result["noise"], jnp.concatenate(draws)[:SIZE].mean(), rtol=1e-5)


def test_kernels_of_a_single_run_are_concurrent_on_a_gpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    option = {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
    assert compilation.training_options(layout()) == option
    assert compilation.training_options(layout(2, "vmap")) == {}
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert compilation.training_options(layout()) == {}
