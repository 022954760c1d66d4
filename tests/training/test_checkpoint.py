"""Checkpoints: exact, the right ones kept, safe from donation."""

import shutil
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.training import checkpoint


class Toy(NamedTuple):
    step: jax.Array
    weights: jax.Array


def toy(step, size=1000):
    return Toy(jnp.int32(step), jax.random.normal(jax.random.key(step), (size,)))


@pytest.mark.parametrize(("mode", "best"), [("min", 20), ("max", 10)])
def test_the_latest_two_and_the_best_are_kept(tmp_path, mode, best):
    with checkpoint.open_manager(tmp_path, "score", mode) as manager:
        for step, score in [(10, 9.0), (20, 1.0), (30, 5.0), (40, 6.0), (50, 7.0)]:
            checkpoint.save(manager, step, toy(step), {"score": score, "other": 0.0})
        manager.wait_until_finished()
        assert manager.all_steps() == [best, 40, 50]


def test_the_latest_state_comes_back_to_the_bit(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        checkpoint.save(manager, 7, toy(7), {"score": 1.0})
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        restored = checkpoint.restore_latest(manager, toy(0))
    chex.assert_trees_all_equal(restored, toy(7))
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, toy(7))


def test_a_state_may_be_donated_while_it_is_being_written(tmp_path):
    overwrite = jax.jit(
        lambda state: Toy(state.step + 1, jnp.zeros_like(state.weights)), donate_argnums=0
    )
    state = toy(1, size=2_000_000)
    expected = np.array(state.weights)
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 1, state, {"score": 0.0})
        overwrite(state)
        manager.wait_until_finished()
        restored = checkpoint.restore_latest(manager, toy(0, size=2_000_000))
    np.testing.assert_array_equal(restored.weights, expected)


def test_without_checkpoints_the_state_stays_as_it_is(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        chex.assert_trees_all_equal(checkpoint.restore_latest(manager, toy(0)), toy(0))


def test_a_checkpoint_of_another_model_is_refused_in_plain_words(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        manager.wait_until_finished()
        with pytest.raises(InputError, match=r"checkpoint of step 3 .* does not fit this model"):
            checkpoint.restore_latest(manager, toy(0, size=10))


def test_what_is_remembered_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"layer": {"kernel": jnp.arange(6.0).reshape(2, 3)}}

    for _ in range(2):
        tree = checkpoint.remember(tmp_path / "tree", compute)
        np.testing.assert_array_equal(tree["layer"]["kernel"], np.arange(6).reshape(2, 3))
    assert len(calls) == 1


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        with pytest.raises(InputError, match="make room"):
            checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        assert manager.all_steps() == []
