"""Altered files: altered indeed, restored afterwards, and judged by what comes out."""

import warnings

import numpy as np
import pytest

from experiments.faults.alterations import STRANGERS, WAYS, altered
from experiments.faults.openings import Target, attempt
from jaxgen.errors import InputError

CONTENT = bytes(range(200))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(CONTENT)
    (tmp_path / "other").touch()
    return path


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_altered_each_time_and_restored(path, way):
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        with altered(path, way, rng):
            seen.add(path.read_bytes() if path.is_file() else str(path.is_dir()))
        assert path.read_bytes() == CONTENT
    assert CONTENT not in seen
    assert len(seen) > {"emptied": 0, "deleted": 0, "replaced": len(STRANGERS) - 3}.get(way, 30)
    if way == "flipped":
        different = [sum(a != b for a, b in zip(CONTENT, s, strict=True)) for s in map(bytes, seen)]
        assert different == [1] * len(seen)


def outcome(path, open_file):
    target = Target("kind", [path], open_file)
    trial = attempt(target, np.random.default_rng(0))
    assert path.read_bytes() == CONTENT
    return trial


def refuse(message):
    def open_file(path):
        raise InputError(message)

    return open_file


def test_an_error_must_name_the_file(path):
    assert outcome(path, refuse(f"{path} is damaged")).outcome == "refused"
    trial = outcome(path, refuse("something is wrong"))
    assert trial.outcome == "lost"
    assert "something is wrong" in trial.detail


def test_a_traceback_is_a_loss(path):
    trial = outcome(path, lambda path: {}["key"])
    assert trial.outcome == "lost"
    assert "KeyError" in trial.detail


def test_what_deletes_files_is_a_loss(path):
    def delete(path):
        (path.parent / "other").unlink()
        return "unaffected", ""

    trial = outcome(path, delete)
    assert trial.outcome == "lost"
    assert "other" in trial.detail


@pytest.mark.parametrize("kind", ["earlier checkpoint", "incomplete"])
def test_what_is_replaced_without_a_word_is_a_silent_change(path, kind):
    assert outcome(path, lambda path: (kind, "")).outcome == "changed"

    def warn(path):
        warnings.warn(f"{path} is altered: the one before is used", stacklevel=1)
        return kind, ""

    assert outcome(path, warn).outcome == kind
