"""Checkpoints: exact, the right ones kept, safe from donation, and never damaged unnoticed."""

import json
import shutil
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.training import checkpoint
from jaxgen.types import Mode

SCORES = {10: 9.0, 20: 1.0, 30: 5.0, 40: 6.0, 50: 7.0}


class Toy(NamedTuple):
    step: jax.Array
    weights: jax.Array


def toy(step, size=1000):
    return Toy(jnp.int32(step), jax.random.normal(jax.random.key(step), (size,)))


def save_all(path, scores, mode: Mode = "min", **options):
    with checkpoint.open_checkpointer() as checkpointer:
        for step, score in scores.items():
            checkpoint.save(checkpointer, path, step, toy(step))
            checkpoint.commit(checkpointer, path, step, score, mode, **options)


@pytest.mark.parametrize(("mode", "best"), [("min", 20), ("max", 10)])
def test_the_latest_two_and_the_best_are_kept(tmp_path, mode, best):
    save_all(tmp_path, SCORES, mode)
    assert checkpoint.steps(tmp_path) == [best, 40, 50]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {str(best), "40", "50"}


def test_the_latest_alone_is_kept(tmp_path):
    save_all(tmp_path, {10: 1.0})
    save_all(tmp_path, {20: 2.0, 30: 3.0}, keep_earlier=False)
    assert checkpoint.steps(tmp_path) == [30]
    assert {path.name for path in tmp_path.iterdir()} == {"30", "30.json"}
    chex.assert_trees_all_equal(checkpoint.restore(tmp_path, 30, toy(0)), toy(30))


def test_the_best_is_kept_by_a_later_process_too(tmp_path):
    for step, score in SCORES.items():
        save_all(tmp_path, {step: score})
    assert checkpoint.steps(tmp_path) == [20, 40, 50]


def test_a_checkpoint_without_a_score_is_not_the_best(tmp_path):
    save_all(tmp_path, {10: 3.0, 20: float("nan"), 30: 5.0, 40: 6.0})
    assert checkpoint.steps(tmp_path) == [10, 30, 40]
    assert checkpoint.find_step(tmp_path, "best", "min")[0] == 10


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_checkpoint_without_a_score_is_best_only_among_others_without(tmp_path, mode: Mode):
    save_all(tmp_path, {10: float("nan"), 20: float("nan")})
    assert checkpoint.find_step(tmp_path, "best", mode)[0] == 20
    save_all(tmp_path, {30: 5.0})
    assert checkpoint.steps(tmp_path) == [20, 30]
    assert checkpoint.find_step(tmp_path, "best", mode)[0] == 30


def test_a_state_is_restored_bit_for_bit(tmp_path):
    save_all(tmp_path, {3: 0.0, 7: 1.0})
    restored = checkpoint.restore(tmp_path, 7, toy(0))
    chex.assert_trees_all_equal(restored, toy(7))
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, toy(7))


def test_abstract_arrays_are_enough_to_restore(tmp_path):
    save_all(tmp_path, {3: 0.0})
    like = jax.eval_shape(toy, 0)
    chex.assert_trees_all_equal(checkpoint.restore(tmp_path, 3, like), toy(3))


def test_arrays_of_any_type_and_of_zeros_are_restored(tmp_path):
    state = {
        "step": jnp.int32(3),
        "zeros": jnp.zeros((2, 3)),
        "half": jnp.full(5, 1.5, jnp.bfloat16),
        "mask": jnp.array([True, False]),
        "nan": jnp.array([jnp.nan, -0.0, jnp.inf]),
    }
    with checkpoint.open_checkpointer() as checkpointer:
        checkpoint.save(checkpointer, tmp_path, 3, state)
        checkpoint.commit(checkpointer, tmp_path, 3, 0.0, "min")
    restored = checkpoint.restore(tmp_path, 3, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, state)
    for name, array in state.items():
        assert np.asarray(restored[name]).tobytes() == np.asarray(array).tobytes(), name


@pytest.mark.parametrize(("mode", "best"), [("min", 20), ("max", 10)])
def test_a_checkpoint_is_found_by_name_or_step(tmp_path, mode, best):
    save_all(tmp_path, SCORES, mode)
    for choice, step in {"latest": 50, "best": best, 40: 40}.items():
        assert checkpoint.find_step(tmp_path, choice, mode) == (step, [])
    with pytest.raises(InputError, match=rf"no checkpoint of step 30, only of {best}, 40, 50"):
        checkpoint.find_step(tmp_path, 30, mode)


def test_a_directory_without_checkpoints_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} holds no checkpoint"):
        checkpoint.find_step(tmp_path, "latest", "min")


def test_a_state_counts_once_it_is_committed(tmp_path):
    """A crash before that leaves a directory that is overwritten later."""
    save_all(tmp_path, {3: 0.0})
    with checkpoint.open_checkpointer() as checkpointer:
        checkpoint.save(checkpointer, tmp_path, 7, toy(8))
    assert checkpoint.find_step(tmp_path, "latest", "min") == (3, [])
    save_all(tmp_path, {7: 0.0})
    chex.assert_trees_all_equal(checkpoint.restore(tmp_path, 7, toy(0)), toy(7))


def files_of(path, step):
    files = [path / f"{step}.json", *(path / str(step)).rglob("*")]
    return sorted(file for file in files if file.is_file())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two checkpoints, never changed."""
    path = tmp_path_factory.mktemp("two")
    save_all(path, {3: 0.0, 7: 1.0})
    return path


def test_every_file_is_covered_wherever_a_bit_is_flipped(two, tmp_path):
    rng = np.random.default_rng(0)
    names = [file.relative_to(two) for file in files_of(two, 7)]
    assert len(names) > 5
    for name in names:
        shutil.copytree(two, tmp_path / "copy", dirs_exist_ok=True)
        content = bytearray((two / name).read_bytes())
        for position in {0, len(content) - 1, int(rng.integers(len(content)))}:
            flipped = content.copy()
            flipped[position] ^= 1 << int(rng.integers(8))
            (tmp_path / "copy" / name).write_bytes(flipped)
            step, [(damaged, reason)] = checkpoint.find_step(tmp_path / "copy", "latest", "min")
            assert (step, damaged) == (3, 7), name
            assert str(name) in reason


@pytest.mark.parametrize("change", ["truncate", "empty", "remove", "add", "remove all"])
def test_a_changed_checkpoint_is_passed_over_and_nothing_is_deleted(two, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(two, copy)
    largest = max((copy / "7").rglob("*"), key=lambda file: file.stat().st_size * file.is_file())
    if change == "truncate":
        largest.write_bytes(largest.read_bytes()[:-1])
    elif change == "empty":
        largest.write_bytes(b"")
    elif change == "remove":
        largest.unlink()
    elif change == "add":
        (copy / "7" / "new").touch()
    else:
        shutil.rmtree(copy / "7")
    before = sorted(copy.rglob("*"))
    step, [(damaged, reason)] = checkpoint.find_step(copy, "latest", "min")
    assert (step, damaged) == (3, 7)
    kinds = {"remove": "missing", "remove all": "missing", "add": "unknown"}
    assert reason.endswith(kinds.get(change, "altered"))
    assert sorted(copy.rglob("*")) == before


def test_without_a_sound_checkpoint_all_reasons_are_named(two, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two, copy)
    (copy / "3.json").write_text("{")
    shutil.rmtree(copy / "7")
    with pytest.raises(InputError, match=r"can be used: .*3\.json is damaged; .*7.* is missing"):
        checkpoint.find_step(copy, "latest", "min")
    with pytest.raises(InputError, match=r"can be used"):
        checkpoint.find_step(copy, 7, "min")
    assert (copy / "3").is_dir()


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", '{"digest": 3, "files": 7}', "\x00"])
def test_a_manifest_of_any_content_is_only_damaged(two, tmp_path, text):
    copy = tmp_path / "copy"
    shutil.copytree(two, copy)
    (copy / "7.json").write_text(text)
    assert checkpoint.find_step(copy, "best", "min")[0] == 3
    save_all(copy, {9: 2.0})  # and it does not disturb later ones
    assert 9 in checkpoint.steps(copy)


def test_a_manifest_with_another_score_is_altered(two, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two, copy)
    manifest = json.loads((copy / "7.json").read_text()) | {"score": -100.0}
    (copy / "7.json").write_text(json.dumps(manifest))
    assert "is altered" in checkpoint.damage(copy, 7)


def test_a_state_may_be_donated_while_it_is_being_written(tmp_path):
    overwrite = jax.jit(
        lambda state: Toy(state.step + 1, jnp.zeros_like(state.weights)), donate_argnums=0
    )
    state = toy(1, size=2_000_000)
    expected = np.array(state.weights)
    with checkpoint.open_checkpointer() as checkpointer:
        checkpoint.save(checkpointer, tmp_path, 1, state)
        overwrite(state)
        checkpoint.commit(checkpointer, tmp_path, 1, 0.0, "min")
    restored = checkpoint.restore(tmp_path, 1, toy(0, size=2_000_000))
    np.testing.assert_array_equal(restored.weights, expected)


def test_a_checkpoint_of_another_model_is_rejected(tmp_path):
    save_all(tmp_path, {3: 0.0})
    with pytest.raises(InputError, match=r"checkpoint of step 3 .* does not fit this model"):
        checkpoint.restore(tmp_path, 3, toy(0, size=10))


def test_an_array_of_another_type_is_not_converted(tmp_path):
    save_all(tmp_path, {3: 0.0})
    like = toy(0)._replace(weights=jnp.zeros(1000, jnp.int32))
    with pytest.raises(InputError, match="does not fit this model"):
        checkpoint.restore(tmp_path, 3, like)


def test_a_full_disk_is_named_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with (
        checkpoint.open_checkpointer() as checkpointer,
        pytest.raises(InputError, match="free some space"),
    ):
        checkpoint.save(checkpointer, tmp_path, 3, toy(3))
    assert checkpoint.steps(tmp_path) == []


class Longer(NamedTuple):
    weights: jax.Array
    step: jax.Array
    average: jax.Array | None = None
    collections: tuple[()] | dict[str, jax.Array] = ()


def test_a_state_may_have_gained_parts_without_leaves_since(tmp_path):
    save_all(tmp_path, {3: 0.0})
    like = Longer(toy(0).weights, toy(0).step, None, {})
    restored = checkpoint.restore(tmp_path, 3, like)
    chex.assert_trees_all_equal(restored, like._replace(weights=toy(3).weights, step=toy(3).step))
    with pytest.raises(InputError, match="does not fit this model"):
        checkpoint.restore(tmp_path, 3, like._replace(average=jnp.zeros(())))
    with pytest.raises(InputError, match="does not fit this model"):
        checkpoint.restore(tmp_path, 3, {"weights": toy(0).weights})


def test_leaves_are_not_mistaken_for_others_of_their_shape(tmp_path):
    save_all(tmp_path, {3: 0.0})
    like = {"step": toy(0).step, "other": toy(0).weights}
    with pytest.raises(InputError, match="does not fit this model"):
        checkpoint.restore(tmp_path, 3, like)
