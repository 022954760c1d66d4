"""A population as its user meets it: records, members, devices."""

import json
import shutil
import signal

import numpy as np
import pytest
from matplotlib.image import imread
from running import (
    JAXGEN,
    TINY_VAE,
    checkpoint_leaves,
    refuse,
    refuse_jaxgen,
    start,
    succeed,
    without_times,
)

from jaxgen.runner import pace
from jaxgen.runner.outcome import Saver
from jaxgen.runs import directory, records
from jaxgen.training import checkpoint

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


@pytest.fixture(scope="module")
def large(tmp_path_factory, few_digits):
    """Eighteen seeds whose states are large, for this test, and of which two are drawn."""
    cwd = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "LARGE_POPULATION", 1)
        options = [*TINY_VAE, "--num-seeds", 18, "--draw-members", 2, "--epochs", 2]
        output = start("vae", *options, "--run-dir", cwd / "large")
        yield cwd, options, output


def test_a_large_population_has_few_pictures_and_one_checkpoint(large):
    cwd, _, output = large
    run_dir = cwd / "large"
    scores = records.read_metrics(run_dir)[-1][SCORE]
    order = np.argsort(scores)
    last = {0, 17, *order[[0, 8, 17]].tolist()}  # the best, the median and the worst
    for epoch, expected in ((1, {0, 17}), (2, last)):
        found = (run_dir / "members").glob(f"*/samples/epoch_{epoch:04d}.png")
        assert {int(path.parts[-3]) for path in found} == expected
    assert checkpoint.steps(directory.checkpoints_path(run_dir)) == [4]
    assert imread(run_dir / "histogram.png")[..., :3].std() > 0.05
    assert "one is kept (--save-every" in output
    assert "16 of 18 members, from the best to the worst" in output
    assert len(output.splitlines()) < 40


def test_a_drawn_member_of_a_large_population_equals_a_single_run(large):
    cwd, _, _ = large
    best = records.read_metrics(cwd / "large")[-1]["best_member"]
    start("vae", *TINY_VAE, "--seed", best, "--epochs", 2, "--run-dir", cwd / "single")
    single = directory.samples_path(cwd / "single", 2).read_bytes()
    member = directory.member_path(cwd / "large", best)
    assert directory.samples_path(member, 2).read_bytes() == single
    assert records.read_metrics(cwd / "single")[-1][SCORE] == min(
        records.read_metrics(cwd / "large")[-1][SCORE]
    )


def test_a_large_population_is_saved_on_a_signal_and_resumes_bit_identically(
    large, tmp_path, monkeypatch
):
    cwd, options, _ = large
    with monkeypatch.context() as patch:
        patch.setattr(Saver, "add_epoch", add_epoch_and_stop)
        with pytest.raises(SystemExit) as stop:
            start("vae", *options, "--run-dir", tmp_path / "run")
    assert stop.value.code == 128 + signal.SIGTERM
    assert checkpoint.steps(directory.checkpoints_path(tmp_path / "run")) == [2]
    start("vae", "--resume", tmp_path / "run", "--draw-members", 2)
    assert checkpoint.steps(directory.checkpoints_path(tmp_path / "run")) == [4]
    runs = cwd / "large", tmp_path / "run"
    lines = [without_times(records.read_metrics(run_dir)) for run_dir in runs]
    assert lines[0] == lines[1]
    for one, other in zip(*map(checkpoint_leaves, runs), strict=True):
        np.testing.assert_array_equal(one, other)
    places = [sorted((run_dir / "members").rglob("*.png")) for run_dir in runs]
    for one, other in zip(*places, strict=True):
        assert one.relative_to(runs[0]) == other.relative_to(runs[1])
        assert one.read_bytes() == other.read_bytes()


ADD_EPOCH = Saver.add_epoch


def add_epoch_and_stop(self, record):
    ADD_EPOCH(self, record)
    signal.raise_signal(signal.SIGTERM)


def test_more_checkpoints_of_a_large_population_are_kept_if_asked_for(large, tmp_path):
    _, options, _ = large
    output = start("vae", *options, "--save-every", 0, "--run-dir", tmp_path / "run")
    assert checkpoint.steps(directory.checkpoints_path(tmp_path / "run")) == [2, 4]
    assert "one is kept" not in output


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
        (["--draw-members", "0"], "--draw-members must be positive"),
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
