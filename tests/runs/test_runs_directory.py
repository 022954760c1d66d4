"""The run directory: never overwritten unasked, never where it could not be restored."""

import os

import pytest

from jaxgen.errors import InputError
from jaxgen.runs import directory, lock


def test_a_new_run_gets_the_next_free_number(tmp_path):
    assert directory.next_free(tmp_path, "vae") == tmp_path / "vae-1"
    directory.create(tmp_path / "vae-1", overwrite=False)
    assert directory.next_free(tmp_path, "vae") == tmp_path / "vae-2"


def test_a_run_is_overwritten_only_if_asked(tmp_path):
    run_dir = tmp_path / "run"
    directory.create(run_dir, overwrite=False)
    directory.config_path(run_dir).write_text("{}")
    with pytest.raises(InputError, match=r"already exists.*--run-dir.*--resume.*--overwrite"):
        directory.create(run_dir, overwrite=False)
    assert directory.config_path(run_dir).exists()
    directory.create(run_dir, overwrite=True)
    assert not directory.config_path(run_dir).exists()


def test_overwrite_deletes_only_runs(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a run"):
        directory.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_run_in_use_is_not_overwritten(tmp_path):
    run_dir = tmp_path / "run"
    directory.create(run_dir, overwrite=False)
    directory.config_path(run_dir).write_text("{}")
    with lock.hold(run_dir), pytest.raises(InputError, match="is in use by process"):
        directory.create(run_dir, overwrite=True)
    assert directory.config_path(run_dir).exists()
    directory.create(run_dir, overwrite=True)
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize("leftover", [[], ["config.json.tmp"]])
def test_what_a_crash_leaves_before_the_first_record_is_no_obstacle(tmp_path, leftover):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for name in leftover:
        (run_dir / name).touch()
    directory.create(run_dir, overwrite=False)
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize("name", ["/".join(["n" * 200] * 19), os.fsdecode(b"latin-\xfc")])
def test_a_path_that_could_not_be_restored_is_rejected(tmp_path, name):
    with pytest.raises(InputError, match="is too long for a run directory, or not valid UTF-8"):
        directory.check_free(tmp_path / name, overwrite=False)


def test_a_directory_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created: Not a directory"):
        directory.create(tmp_path / "file" / "run", overwrite=False)


@pytest.mark.parametrize("name", ["exp[seed=0]", "a*b", "what?", "deep[1]/run"])
def test_a_path_that_orbax_would_expand_is_rejected(tmp_path, name):
    with pytest.raises(InputError, match="cannot be restored: choose another --run-dir"):
        directory.create(tmp_path / name, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_orbax_would_expand_is_rejected(tmp_path, monkeypatch):
    (tmp_path / "work[1]").mkdir()
    monkeypatch.chdir(tmp_path / "work[1]")
    with pytest.raises(InputError, match="cannot be restored"):
        directory.create(directory.Path("run"), overwrite=False)


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    directory.write_text(path, "old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory.Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        directory.write_text(path, "new")
    assert path.read_text() == "old"
