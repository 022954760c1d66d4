"""Run directories with any name: what is written can be restored, or is refused before training."""

import os

import pytest
from running import JAXGEN, TINY_VAE, VAE, fail, refuse, run, start, succeed

from jaxgen import load_run
from jaxgen.runs import records

NAMES = ['it\'s "a" {b},c;d$e&f%20#(g) ünï-çødé-数字-🙂']
MORE_NAMES = ["n" * 250, "  spaces  ", "-dash", "~tilde", "new\nline", "a:b@c", "..."]
ALL_NAMES = [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_NAMES)]


@pytest.mark.parametrize("name", ALL_NAMES, ids=range(len(ALL_NAMES)))
def test_a_run_with_a_strange_name_can_be_resumed_and_opened(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    options = [*TINY_VAE, "--final-learning-rate", "1"]
    output = start("vae", *options, "--epochs", 1, f"--run-dir={name}")
    assert name in output
    start("vae", f"--resume={name}", "--epochs", 2)
    assert [line["epoch"] for line in records.read_metrics(tmp_path / name)] == [1, 2]
    assert load_run(tmp_path / name).step == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 256, "File name too long"),
        ("ü" * 130, "File name too long"),
        ("/".join(["n" * 200] * 19), "too long for a run directory"),
        (os.fsdecode(b"latin-\xfc"), "not valid UTF-8"),
        ("[bold]", "cannot be restored"),
        ("star*", "cannot be restored"),
        ("back\\slash", "cannot be restored"),
    ],
)
def test_a_name_that_could_not_be_restored_is_refused(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    assert message in refuse(capsys, "vae", *TINY_VAE, "--epochs", 1, "--run-dir", name)
    assert os.listdir(tmp_path) == []


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path):
    """Caches are skipped with a word."""
    (tmp_path / "home").touch()
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "MPLCONFIGDIR": str(tmp_path)}
    options = [*TINY_VAE, "--epochs", "1", "--run-dir", "run"]
    done = run(VAE, *options, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "intact" in succeed(JAXGEN, "verify", "run", cwd=tmp_path, **home)


def test_a_run_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file/run", "/proc/run"):
        message = fail(VAE, *TINY_VAE, "--epochs", "1", "--run-dir", place, cwd=tmp_path)
        assert place.partition("/run")[0] in message
