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


@pytest.mark.parametrize(("mode", "best"), [("min", 20), ("max", 10)])
def test_the_best_is_kept_by_a_second_manager_too(tmp_path, mode, best):
    scores = {10: 9.0, 20: 1.0, 30: 5.0, 40: 6.0, 50: 7.0}
    for step, score in scores.items():
        with checkpoint.open_manager(tmp_path, "score", mode) as manager:
            checkpoint.save(manager, step, toy(step), {"score": score})
    with checkpoint.open_manager(tmp_path, "score", mode) as manager:
        assert manager.all_steps() == [best, 40, 50]


def test_a_state_is_restored_bit_for_bit(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        checkpoint.save(manager, 7, toy(7), {"score": 1.0})
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        restored = checkpoint.restore(manager, 7, toy(0))
    chex.assert_trees_all_equal(restored, toy(7))
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, toy(7))


def test_abstract_arrays_are_enough_to_restore(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 3, toy(3), {"score": 0.0})
    like = jax.eval_shape(toy, 0)
    with checkpoint.open_manager(tmp_path, "score", "min", read_only=True) as manager:
        chex.assert_trees_all_equal(checkpoint.restore(manager, 3, like), toy(3))


@pytest.mark.parametrize(("mode", "best"), [("min", 20), ("max", 10)])
def test_a_checkpoint_is_found_by_name_or_step(tmp_path, mode, best):
    with checkpoint.open_manager(tmp_path, "score", mode) as manager:
        for step, score in [(10, 9.0), (20, 1.0), (30, 5.0), (40, 6.0), (50, 7.0)]:
            checkpoint.save(manager, step, toy(step), {"score": score})
    with checkpoint.open_manager(tmp_path, "score", mode, read_only=True) as manager:
        for choice, step in {"latest": 50, "best": best, 40: 40}.items():
            assert checkpoint.find_step(manager, choice) == step
        with pytest.raises(InputError, match=rf"no checkpoint of step 30, only of {best}, 40, 50"):
            checkpoint.find_step(manager, 30)


def test_a_directory_without_checkpoints_is_named(tmp_path):
    with (
        checkpoint.open_manager(tmp_path, "score", "min") as manager,
        pytest.raises(InputError, match=f"{tmp_path} holds no checkpoint"),
    ):
        checkpoint.find_step(manager, "latest")


def test_reading_leaves_an_unfinished_checkpoint_alone(tmp_path):
    """Another process may be writing it."""
    unfinished = tmp_path / "7.orbax-checkpoint-tmp"
    unfinished.mkdir()
    with checkpoint.open_manager(tmp_path, "score", "min", read_only=True) as manager:
        assert manager.all_steps() == []
    assert unfinished.exists()


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
        restored = checkpoint.restore(manager, 1, toy(0, size=2_000_000))
    np.testing.assert_array_equal(restored.weights, expected)


def test_a_checkpoint_of_another_model_is_rejected(tmp_path):
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        manager.wait_until_finished()
        with pytest.raises(InputError, match=r"checkpoint of step 3 .* does not fit this model"):
            checkpoint.restore(manager, 3, toy(0, size=10))


def test_a_full_disk_is_named_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with checkpoint.open_manager(tmp_path, "score", "min") as manager:
        with pytest.raises(InputError, match="free some space"):
            checkpoint.save(manager, 3, toy(3), {"score": 0.0})
        assert manager.all_steps() == []
