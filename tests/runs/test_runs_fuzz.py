"""Records and caches of any content: read, refused by name, or computed again."""

import json

import numpy as np
import pytest

from experiments.faults.alterations import STRANGERS, flip
from jaxgen.errors import InputError
from jaxgen.runner import recorded
from jaxgen.runs import caches, config_file, directory, environment, lock, records

VALUES = (
    None, True, -1, 0, 10**30, -(10**400), 1e300, float("nan"), float("inf"), "", "../../outside",
    "/etc", "x" * 10_000, [], {}, [None], [[0, -1]], {"a": {}}, [1e-3] * 1000, "\ud800",
)  # fmt: skip


@pytest.fixture
def run_dir(tmp_path):
    """The records of a run of the VAE."""
    from jaxgen.recipes import vae
    from jaxgen.recipes.recipe import Facts
    from jaxgen.runner.command_line import defaults

    facts = Facts("mnist_5k", (32, 32, 1), tuple("0123456789"), 4000, "f" * 64, 62, 25)
    recorded.write(tmp_path, vae.RECIPE, defaults(vae.RECIPE), facts)
    for epoch in (1, 2, 3):
        line = {"epoch": epoch, "step": 62 * epoch, "seconds": 0.5, "time": 1.5, "test/loss": 0.1}
        records.append_metrics(tmp_path, [line])
    environment.record_start(tmp_path)
    records.write_result(tmp_path)
    records.write_evaluation(tmp_path, {"checkpoint": "latest", "likelihood": {"nll": [85.5, 86]}})
    return tmp_path


READ = {
    "config.json": lambda run_dir: recorded.read(run_dir),
    "metrics.jsonl": lambda run_dir: records.read_metrics(run_dir),
    "environment.json": lambda run_dir: environment.read_starts(run_dir),
    "result.json": lambda run_dir: records.read_result(run_dir),
    "evaluation.json": lambda run_dir: records.read_evaluation(run_dir),
    "lock.json": lambda run_dir: lock.hold(run_dir).__enter__(),
}
RECORDS = [name for name in READ if name != "lock.json"]


def read(run_dir, name):
    """What is in a record, or None if it is refused with its name."""
    try:
        return READ[name](run_dir)
    except InputError as error:
        message = str(error)
    assert name in message or "There is no recipe" in message
    return None


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_cut_or_replaced_is_named(run_dir, name):
    content = (run_dir / name).read_bytes()
    for length in range(0, len(content), max(1, len(content) // 40)):
        (run_dir / name).write_bytes(content[:length])
        found = read(run_dir, name)
        whole_lines = content[:length].count(b"\n")
        is_whole = length == len(content) - 1  # but for the line break at its end
        assert found is None or is_whole or (name == "metrics.jsonl" and len(found) == whole_lines)
    for stranger in STRANGERS:
        if stranger is None:
            (run_dir / name).unlink()
            (run_dir / name).mkdir()
        else:
            (run_dir / name).write_bytes(stranger)
        assert read(run_dir, name) in (None, [])
        if stranger is None:
            (run_dir / name).rmdir()


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("number", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_flipped_byte_changes_nothing_without_a_word(run_dir, name, number):
    intact, content = READ[name](run_dir), (run_dir / name).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(number):
        (run_dir / name).write_bytes(flip(content, rng))
        found = read(run_dir, name)
        if found is not None and name == "metrics.jsonl":  # the last line may have lost its end
            assert found == intact[: len(found)]
            assert len(found) >= 2
        elif found is not None:
            assert known(found, intact) == intact


def known(found, intact):
    """The keys that were written; a flip may have renamed that of the digest."""
    if isinstance(intact, list):
        return [known(f, i) for f, i in zip(found, intact, strict=True)]
    return {key: found[key] for key in intact} if isinstance(intact, dict) else found


def mutate(value, rng):
    """Replace one value, at any depth, or remove or rename one key."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        kind = rng.random()
        if kind < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.2:
            return {("x" if k == key else k): v for k, v in value.items()}
        return value | {key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.5:
        at = int(rng.integers(len(value)))
        return [*value[:at], mutate(value[at], rng), *value[at + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_config_of_other_values_is_read_or_refused(run_dir, number):
    """Without its digest, as somebody would leave it who edits it by hand."""
    path = directory.config_path(run_dir)
    config, rng = config_file.read_config(run_dir), np.random.default_rng(0)
    num_refused = 0
    for _ in range(number):
        path.write_text(json.dumps(mutate(config, rng)))
        num_refused += read(run_dir, "config.json") is None
    assert num_refused > number / 2


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_lines_of_other_values_are_read_or_refused(run_dir, number):
    path = directory.metrics_path(run_dir)
    (first, *_), rng = records.read_metrics(run_dir), np.random.default_rng(0)
    more = {"summary": {"test/loss": {"mean": 1.0}}, "diverged": {"0": 3}, "best_member": 1}
    first = {**first, **more}
    for _ in range(number):
        path.write_text(json.dumps(mutate(first, rng)) + "\n")
        for record in read(run_dir, "metrics.jsonl") or []:
            assert record["epoch"] >= 0
            assert record["step"] >= 0


def test_a_lock_of_any_content_is_taken_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    path = lock.lock_path(tmp_path)
    contents = [s for s in STRANGERS if s is not None]
    contents += [flip(b'{"host": "here", "pid": 7}', rng) for _ in range(50)]
    contents += [json.dumps({"host": v, "pid": v}).encode() for v in VALUES]
    for content in contents:
        path.write_bytes(content)
        message = "is in use by process"
        try:
            with lock.hold(tmp_path):
                pass
        except InputError as error:
            message = str(error)
        assert "is in use by process" in message
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"lock\.json cannot be used: Is a directory"):
        lock.hold(tmp_path).__enter__()


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_cached_result_is_intact_or_computed_again(tmp_path, number):
    path, rng = tmp_path / "result", np.random.default_rng(0)
    tree = {"params": {"kernel": np.arange(12.0).reshape(3, 4)}, "accuracy": np.float32(0.5)}
    caches.load_or_compute(path, lambda: tree)
    content = path.read_bytes()
    for _ in range(number):
        changed = flip(content, rng)[: rng.integers(1, 2 * len(content))]
        path.write_bytes(changed)
        found = caches.load_or_compute(path, lambda: tree)
        np.testing.assert_array_equal(found["params"]["kernel"], tree["params"]["kernel"])
        assert path.read_bytes() == content
