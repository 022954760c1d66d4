"""Files of a run that are moved, or something else: named in a line, and nothing is deleted."""

import shutil

import pytest
from running import IN_CHUNKS, assert_bit_identical, jaxgen, refuse, refuse_jaxgen, start

from jaxgen.runner.progress import Reporter
from jaxgen.runs import directory, records


def replace(path, kind):
    """Put something else in the place of a file or directory."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "file":
        path.write_text("thesis")
    elif kind == "directory":
        path.mkdir()
        (path / "thesis").touch()
    else:
        path.symlink_to(path.with_name("nowhere"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("environment.json", "directory"),
        ("samples", "file"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("checkpoints", "file"),
                ("checkpoints", "link"),
                ("config.json", "directory"),
                ("config.json", "link"),
                ("lock.json", "directory"),
                ("metrics.jsonl", "directory"),
                ("result.json", "directory"),
                ("samples", "link"),
            )
        ),
    ],
)
def test_what_is_in_the_place_of_a_file_is_named(copy, capsys, name, kind):
    replace(copy / name, kind)
    before = sorted(copy.rglob("*"))
    message = refuse(capsys, "vae", "--resume", copy, "--epochs", 4)
    assert str(copy / name) in message or "has no config.json" in message
    assert [path for path in before if not path.exists() and not path.is_symlink()] == []


@pytest.mark.parametrize("kind", ["link", pytest.param("file", marks=pytest.mark.slow)])
def test_a_new_run_without_a_place_for_checkpoints_is_stopped(copy, capsys, kind):
    """It stopped before its first checkpoint."""
    directory.metrics_path(copy).unlink()
    replace(directory.checkpoints_path(copy), kind)
    message = refuse(capsys, "vae", "--resume", copy)
    assert f"{directory.checkpoints_path(copy)} cannot be used: File exists" in message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["300", "300.json"])
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_something_else_in_the_place_of_a_checkpoint_is_passed_over(
    whole, copy, capsys, name, kind
):
    path = directory.checkpoints_path(copy) / name
    replace(path, kind)
    with pytest.raises(SystemExit) as end:
        jaxgen("verify", copy)
    assert end.value.code == 1
    assert f"{path}" in capsys.readouterr().out
    directory.result_path(copy).unlink()
    if (name, kind) in (("300", "link"), ("300.json", "directory")):  # which cannot be replaced
        message = refuse(capsys, "vae", "--resume", copy)
        assert str(path) in message or "checkpoint of step 300 cannot be written" in message
        path.unlink() if kind == "link" else shutil.rmtree(path)
        start("vae", "--resume", copy)
    else:
        assert "using the checkpoint of step 275" in start("vae", "--resume", copy)
    assert_bit_identical(whole, copy)


def test_other_files_among_the_checkpoints_are_left_alone(copy):
    paths = [directory.checkpoints_path(copy) / f"{name}.json" for name in ("²", "007", "x", "-5")]
    for path in paths:
        path.write_text("thesis")
    start("vae", "--resume", copy, "--epochs", 4)
    assert [path.read_text() for path in paths] == ["thesis"] * 4


def test_a_run_that_is_moved_ends_and_continues_where_it_is(whole, tmp_path, capsys, monkeypatch):
    show = Reporter.show

    def moving(reporter, chunk, *args):
        show(reporter, chunk, *args)
        if chunk.step == 150:
            (tmp_path / "run").rename(tmp_path / "moved")

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "show", moving)
        message = refuse(capsys, "vae", *IN_CHUNKS, "--run-dir", tmp_path / "run")
    assert str(tmp_path / "run") in message
    assert not (tmp_path / "run").exists()
    assert records.read_metrics(tmp_path / "moved")[-1]["step"] == 100
    assert "is not a run" in refuse(capsys, "vae", "--resume", tmp_path / "run")
    start("vae", "--resume", tmp_path / "moved")
    assert_bit_identical(whole, tmp_path / "moved")


def test_a_misspelled_directory_is_named(tmp_path, capsys):
    assert "is not a run" in refuse_jaxgen(capsys, "verify", tmp_path / "rnu")
