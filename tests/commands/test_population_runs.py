"""A population as its user meets it: records, members, devices, hosts."""

import json
import os
import shutil
import socket
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread
from running import (
    CGAN,
    JAXGEN,
    SMALL,
    TINY_VAE,
    VAE,
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
def population(tmp_path_factory):
    """Two seeds of two rates, one of which diverges; and a single run, an epoch longer."""
    cwd = tmp_path_factory.mktemp("population")
    options = [*TINY_VAE, *CONSTANT]
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
    if lost:  # a crash between the checkpoint and the line: the states know who is behind
        records.truncate_metrics(tmp_path / "population", 0)
    start("vae", "--resume", tmp_path / "population", "--epochs", 3)
    last, single = (
        records.read_metrics(path)[-1] for path in (tmp_path / "population", cwd / "single")
    )
    assert last[SCORE][1] == single[SCORE]
    before = records.read_metrics(cwd / "population")[-1]["diverged"]
    assert last["diverged"] == ({"2": 0, "3": 0} if lost else before)
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


def run_on_two_hosts(command, *options, cwd):
    """The same command as two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = os.environ.get("XLA_FLAGS", "")
    env = os.environ | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=2"}
    command = [*command, *options, "--distributed", "--coordinator", f"localhost:{port}"]
    processes = [
        subprocess.Popen(
            [*command, "--num-processes", "2", "--process-id", str(i)],
            cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


def test_two_hosts_train_what_one_trains_and_one_continues(population, tmp_path):
    cwd, _ = population
    run_on_two_hosts(
        VAE, *TINY_VAE, *CONSTANT, "--seed", "1", "--epochs", "1", "--batch-devices", "4",
        "--run-dir", "run", "--data-mode", "stream", cwd=tmp_path,
    )  # fmt: skip
    start("vae", "--resume", tmp_path / "run", "--epochs", 2)
    there, here = (records.read_metrics(p) for p in (tmp_path / "run", cwd / "single"))
    assert [line["step"] for line in there] == [10, 20]
    for one, other in zip(there, here, strict=False):
        assert one[SCORE] == pytest.approx(other[SCORE], rel=1e-4)
    starts = json.loads(directory.environment_path(tmp_path / "run").read_text())
    assert [start["mesh"]["batch"] for start in starts] == [4, 1]


@pytest.mark.slow
def test_two_hosts_train_a_gan_and_take_over_from_one(tmp_path):
    run_on_two_hosts(
        CGAN, *SMALL, "--epochs", "1", "--batch-devices", "4", "--run-dir", "run", cwd=tmp_path
    )
    succeed(CGAN, "--resume", "run", "--epochs", "2", cwd=tmp_path)
    run_on_two_hosts(CGAN, "--resume", "run", "--epochs", "3", "--batch-devices", "4", cwd=tmp_path)
    succeed(CGAN, *SMALL, "--epochs", "3", "--run-dir", "single", cwd=tmp_path)
    there, here = (records.read_metrics(tmp_path / name) for name in ("run", "single"))
    assert [line["step"] for line in there] == [10, 20, 30]
    for loss in ("train/generator_loss", "train/discriminator_loss", "test/d_real"):
        for one, other in zip(there, here, strict=True):
            assert one[loss] == pytest.approx(other[loss], rel=1e-2)
