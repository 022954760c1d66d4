"""A population as its user meets it: records, members, devices."""

import json
import shutil

import numpy as np
import pytest
from matplotlib.image import imread
from running import (
    JAXGEN,
    TINY_VAE,
    refuse,
    refuse_jaxgen,
    start,
    succeed,
    without_times,
)

from jaxgen.runs import directory, records

SWEEP = ["--num-seeds", "2", "--sweep.learning-rate", "1e-3", "1e30"]
CONSTANT = ["--final-learning-rate", "1"]  # so that a longer run begins like a shorter one
SCORE = "test/negative_elbo_nats"


@pytest.fixture(scope="module")
def population(tmp_path_factory, few_digits):
    """Two seeds of two rates, one of which diverges; and a single run, an epoch longer."""
    cwd = tmp_path_factory.mktemp("population")
    options = [*TINY_VAE, *CONSTANT, "--batch-size", 80]
    output = start("vae", *options, *SWEEP, "--epochs", 2, "--run-dir", cwd / "population")
    start("vae", *options, "--seed", 1, "--epochs", 3, "--run-dir", cwd / "single")
    return cwd, output


def test_records_have_each_member_and_a_summary(population):
    cwd, output = population
    lines = records.read_metrics(cwd / "population")
    single = records.read_metrics(cwd / "single")
    for line, of_single in zip(lines, single, strict=False):
        assert line[SCORE][1] == of_single[SCORE]
        assert line[SCORE][2:] == [None, None]
        summary, values = line["summary"][SCORE], line[SCORE][:2]
        assert summary["mean"] == pytest.approx(np.mean(values))
        assert summary["std"] == pytest.approx(np.std(values, ddof=1))
        assert (summary["min"], summary["max"]) == (min(values), max(values))
        assert line["best_member"] == int(np.argmin(values))
        assert line["diverged"].keys() == {"2", "3"}
    assert "member 2 is frozen" in output
    assert "frozen at step" in output
    assert "mean  of 2" in output


def test_every_member_has_its_pictures(population):
    cwd, _ = population
    single = directory.samples_path(cwd / "single", 2).read_bytes()
    member = directory.member_path(cwd / "population", 1)
    assert directory.samples_path(member, 2).read_bytes() == single
    assert imread(cwd / "population" / "curves.png")[..., :3].std() > 0.05


def test_an_extracted_member_continues_like_a_single_run(population, tmp_path):
    cwd, _ = population
    succeed(JAXGEN, "extract", cwd / "population", 1, "own", cwd=tmp_path)
    own = tmp_path / "own"
    assert json.loads(directory.config_path(own).read_text())["training"]["seed"] == 1
    single = without_times(records.read_metrics(cwd / "single"))
    assert without_times(records.read_metrics(own)) == single[:2]
    start("vae", "--resume", own, "--epochs", 3)
    assert without_times(records.read_metrics(own)) == single


@pytest.mark.parametrize("lost", [False, True])
def test_a_population_resumes_with_its_frozen_members(population, tmp_path, lost):
    cwd, _ = population
    shutil.copytree(cwd / "population", tmp_path / "population")
    if lost:  # a crash between the checkpoint and its line
        path = directory.metrics_path(tmp_path / "population")
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    start("vae", "--resume", tmp_path / "population", "--epochs", 3)
    last, single = (
        records.read_metrics(path)[-1] for path in (tmp_path / "population", cwd / "single")
    )
    assert last[SCORE][1] == single[SCORE]
    before = records.read_metrics(cwd / "population")[-1]["diverged"]
    assert last["diverged"] == before
    assert last[SCORE][2:] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["population", "4", "new"], "has members 0 to 3, not 4"),
        (["single", "0", "new"], "is a single run"),
        (["population", "0", "single"], "already exists"),
        (["nowhere", "0", "new"], "is not a run"),
    ],
)
def test_a_member_that_does_not_exist_is_named(population, monkeypatch, capsys, arguments, hint):
    cwd, _ = population
    monkeypatch.chdir(cwd)
    assert hint in refuse_jaxgen(capsys, "extract", *arguments)
    assert not (cwd / "new").exists()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--num-seeds", "0"], "--num-seeds must be positive"),
        (["--sweep.learning-rate", "0"], "--learning-rate must be positive"),
        (["--sweep.kl-weight", "-1"], "--kl-weight must be 0 or more"),
        (["--strategy", "map"], "this is a single run: ask for more with --num-seeds"),
        (["--batch-devices", "2"], "cannot be divided into groups of 2"),
        (["--batch-devices", "3"], "cannot be split evenly among 3 devices"),
        (["--distributed"], "--distributed needs --run-dir"),
        (["--process-id", "0"], "need --distributed"),
        (["--distributed", "--run-dir", "new"], "--coordinator HOST:PORT"),
    ],
)
def test_impossible_populations_are_refused(tmp_path, monkeypatch, capsys, options, hint):
    monkeypatch.chdir(tmp_path)
    assert hint in refuse(capsys, "vae", *TINY_VAE, *options)
    assert list(tmp_path.iterdir()) == []
