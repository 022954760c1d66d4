"""Populations: each member is the run it would be alone, whoever else diverges."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.training import loop
from jaxgen.training.population import (
    best_median_worst,
    best_member,
    freeze_if_not_finite,
    ranking,
    spread_out,
    summarize,
)
from jaxgen.training.sharding import Layout, layout
from jaxgen.training.streaming import stream
from jaxgen.types import Batch
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE

SHAPE = loop.EpochShape(2, 3, 8)
MODELS = {
    "mlp": MLPVAE((8, 8, 1), latent_dim=2, hidden_dims=(8,)),
    "conv": ConvVAE((8, 8, 1), latent_dim=2, hidden_dims=(4, 8)),
}
LEARNERS = {name: vae(model, objectives.bernoulli()) for name, model in MODELS.items()}
EITHER_MODEL = pytest.mark.parametrize(
    "model", ["mlp", pytest.param("conv", marks=pytest.mark.slow)]
)


class Programs(NamedTuple):
    """What a run of this model and layout compiles."""

    layout: Layout
    init: Callable
    train: loop.Trainer


@cache
def programs(model, num_members=None, strategy=None, batch_devices=1):
    where = layout(num_members, strategy, batch_devices)
    learner = LEARNERS[model]

    def init(seed, hypers):
        keys = loop.split_run_key(jax.random.key(seed))
        return keys, learner.init(keys.init, hypers)

    return Programs(where, jax.jit(where.lift(init, (0, 0))), loop.trainer(learner.step, where))


class State(NamedTuple):
    step: jax.Array


def images(num: int = 50) -> Batch:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)
    return Batch(jnp.asarray(image), jnp.arange(num, dtype=jnp.int32))


def train(model, seeds, rates, strategy=None, *, batch_devices=1, streamed=False, num_epochs=2):
    """The chunks of a population or, for one seed alone, of a single run."""
    num_members = None if np.ndim(seeds) == 0 else len(seeds)
    where, init, update = programs(model, num_members, strategy, batch_devices)
    seeds, rates = jnp.asarray(seeds, jnp.uint32), jnp.asarray(rates, jnp.float32)
    keys, state = init(seeds, Hypers(rates, jnp.ones_like(rates)))
    data = images()
    if streamed:
        data = stream(jax.device_get(data), keys.order, SHAPE, where)
    for chunk in loop.fit(
        update, state, data, keys, shape=SHAPE, num_epochs=num_epochs, layout=where
    ):
        yield chunk._replace(state=jax.device_get(chunk.state))


def member(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@EITHER_MODEL
def test_members_one_by_one_are_single_runs_to_the_bit(model):
    together = list(train(model, [3, 4, 3], [1e-2, 1e-2, 1e-3], "map"))
    for index, (seed, rate) in enumerate([(3, 1e-2), (4, 1e-2), (3, 1e-3)]):
        alone = list(train(model, seed, rate))
        chex.assert_trees_all_equal(member(together[-1].state, index), alone[-1].state)
        for chunk, single in zip(together, alone, strict=True):
            chex.assert_trees_all_equal(member(chunk.metrics, index), single.metrics)


@EITHER_MODEL
def test_members_side_by_side_are_single_runs_up_to_rounding(model):
    *_, together = train(model, [3, 4, 3], [1e-2, 1e-3, 1e-3], "vmap")
    for index, (seed, rate) in enumerate([(3, 1e-2), (4, 1e-3), (3, 1e-3)]):
        *_, alone = train(model, seed, rate)
        np.testing.assert_allclose(
            together.metrics["loss"][index], alone.metrics["loss"], rtol=1e-4
        )


def test_permuting_members_permutes_results():
    *_, one = train("mlp", [0, 1, 2], [1e-2, 1e-3, 1e-4], "vmap")
    *_, other = train("mlp", [2, 0, 1], [1e-4, 1e-2, 1e-3], "vmap")
    chex.assert_trees_all_close(member(one.state, np.array([2, 0, 1])), other.state, atol=1e-6)


def test_members_differ_by_seed_alone():
    *_, chunk = train("mlp", [0, 1, 2], [1e-3] * 3, "map")
    for leaf in jax.tree.leaves(chunk.state.network.params):
        if leaf.ndim > 2:  # kernels; biases begin alike
            assert np.abs(np.corrcoef(leaf.reshape(3, -1))[0, 1]) < 0.3


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_member_that_diverges_is_frozen_and_harms_no_other(strategy):
    chunks = list(train("mlp", [0, 1, 2], [1e-3, 1e30, 1e-3], strategy))
    *_, healthy = train("mlp", [0, 1, 2], [1e-3, 1e-3, 1e-3], strategy)
    for index in (0, 2):
        chex.assert_trees_all_equal(
            member(chunks[-1].state.network.params, index),
            member(healthy.state.network.params, index),
        )
    assert not np.isfinite(chunks[0].metrics["loss"][1]).all()
    assert chunks[-1].state.network.step.tolist() == [12, 0, 12]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(chunks[-1].state))
    assert loop.num_updates(jax.device_put(chunks[-1].state)) == 12


def test_the_guard_lets_nothing_in_that_is_not_finite():
    def chunk(state, data, rows, key):
        return State(state.step + 1), {"loss": data}

    key, start = jax.random.key(0), jnp.int32(5)
    for loss, expected in ((1.0, 6), (jnp.nan, 5), (jnp.inf, 5)):
        state, _ = freeze_if_not_finite(chunk)(
            State(jnp.int32(5)), jnp.float32(loss), None, key, start
        )
        assert state.step == expected
    behind, _ = freeze_if_not_finite(chunk)(State(jnp.int32(4)), jnp.float32(1.0), None, key, start)
    assert behind.step == 4


@pytest.mark.parametrize("seeds", [5, [5, 6, 7]])
def test_a_stream_trains_what_memory_trains_to_the_bit(seeds):
    rates = np.full(np.shape(seeds), 1e-3)
    strategy = None if np.ndim(seeds) == 0 else "map"
    in_memory = list(train("mlp", seeds, rates, strategy))
    streamed = list(train("mlp", seeds, rates, strategy, streamed=True))
    for one, other in zip(in_memory, streamed, strict=True):
        chex.assert_trees_all_equal(one.state, other.state)


def test_a_stream_goes_on_where_the_state_is():
    keys = loop.split_run_key(jax.random.key(0))
    chunks = stream(jax.device_get(images()), keys.order, SHAPE, layout())
    from_start, later = chunks(0), chunks(3)
    whole = [next(from_start) for _ in range(5)]
    for expected in whole[3:]:
        chex.assert_trees_all_equal(next(later), expected)


def test_a_summary_is_numpys_over_those_who_are_left():
    values = np.array([3.0, np.nan, 1.0, 5.0])
    left = values[[0, 2, 3]]
    assert summarize(values) == (left.mean(), left.std(ddof=1), 1.0, 5.0)
    assert summarize(np.array([2.0])) == (2.0, 0.0, 2.0, 2.0)
    assert np.isnan(summarize(np.array([np.nan]))).all()
    assert (best_member(values, "min"), best_member(values, "max")) == (2, 3)
    assert best_member(np.array([np.nan]), "min") is None


@pytest.mark.parametrize(
    ("num", "most", "expected"), [(3, 8, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 5, [0]), (0, 5, [])]
)
def test_choices_are_spread_out(num, most, expected):
    assert spread_out(num, most).tolist() == expected


def test_members_are_ranked_and_three_of_them_named():
    values = np.array([3.0, np.nan, 1.0, 5.0, 4.0, np.inf])
    assert ranking(values, "min").tolist() == [2, 0, 4, 3]
    assert ranking(values, "max").tolist() == [3, 4, 0, 2]
    assert best_median_worst(values, "min") == {2: "best", 0: "median", 3: "worst"}
    assert best_median_worst(values[:3], "max") == {0: "best", 2: "worst"}
    assert best_median_worst(values[:1], "max") == {0: "best"}
    assert best_median_worst(values[1:2], "max") == {}


def test_what_cannot_be_divided_is_refused_in_plain_words():
    with pytest.raises(InputError, match="--batch-devices"):
        layout(batch_devices=2)


SHARDED = """
import sys; sys.path.insert(0, {tests!r})
import jax, numpy as np, pytest
from jaxgen.errors import InputError
from jaxgen.training.sharding import layout
from jaxgen.training.streaming import local_block
from test_population import train

assert jax.device_count() == 8
*_, one_by_one = train("{model}", range(8), np.full(8, 1e-2), "map")
*_, spread = train("{model}", range(8), np.full(8, 1e-2), "shard")
np.testing.assert_allclose(spread.metrics["loss"], one_by_one.metrics["loss"], rtol=1e-4)

def single(batch_devices):
    *_, chunk = train("{model}", 0, 1e-3, batch_devices=batch_devices)
    # not the means: rounding moves a bias before a BatchNorm, which takes it out again
    stats = chunk.state.network.batch_stats.values()
    return chunk.metrics["loss"], [norm["var"] for norm in stats]

for one, other in zip(jax.tree.leaves(single(1)), jax.tree.leaves(single(4)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)

assert layout(6).mesh.shape == {{"member": 2, "batch": 1}}
assert layout(8, batch_devices=2).mesh.shape == {{"member": 4, "batch": 2}}
whole = slice(0, 8), slice(0, 3), slice(0, 8)
assert local_block(layout(8, batch_devices=2).rows, (8, 3, 8)) == whole
with pytest.raises(InputError, match="6 members cannot be divided among 8 devices"):
    layout(6, "shard")
"""


@EITHER_MODEL
def test_a_run_spread_over_eight_devices_is_the_same_run(model):
    flags = os.environ.get("XLA_FLAGS", "")
    env = os.environ | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=8"}
    code = SHARDED.format(tests=os.path.dirname(__file__), model=model)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
