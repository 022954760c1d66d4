"""A study as its user meets it: a population in a process, its records, its members, its hosts."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from experiments import launch, vae_mnist
from experiments.members import members
from experiments.options import RunOptions
from experiments.records import Epoch, record_of
from jaxgen import runs
from jaxgen.errors import InputError
from jaxgen.training import memory

TINY = ["--dataset", "mnist_5k", "--model", "mlp", "--hidden-dims", "16", "16"]
TINY += ["--latent-dim", "4", "--batch-size", "400"]
SWEEP = ["--num-seeds", "2", "--sweep.learning-rate", "1e-3", "1e30"]
SCORE = "test/negative_elbo_nats"
VAE = [sys.executable, "-m", "experiments.vae_mnist"]
CGAN = [sys.executable, "-m", "experiments.cgan_mnist"]
JAXGEN = Path(sys.executable).parent / "jaxgen"


def run(command, cwd, **variables):
    env = os.environ | variables
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def succeed(command, cwd, **variables):
    done = run(command, cwd, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def timeless(records):
    return [{k: v for k, v in r.items() if k not in ("seconds", "time")} for r in records]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two seeds of two rates, one of which diverges; and the seed 1 alone, an epoch longer."""
    cwd = tmp_path_factory.mktemp("study")
    said = succeed([*VAE, *TINY, *SWEEP, "--epochs", "2", "--run-dir", "study"], cwd)
    succeed([*VAE, *TINY, "--seed", "1", "--epochs", "3", "--run-dir", "alone"], cwd)
    return cwd, said


def test_members_are_crossed_from_sweep_and_seeds():
    sweep = vae_mnist.Sweep(learning_rate=(0.1, 0.2), kl_weight=(1.0, 4.0))
    config = vae_mnist.Config(sweep=sweep, run=RunOptions(seed=7, num_seeds=2))
    everyone = members(config)
    assert [(m.learning_rate, m.kl_weight, m.run.seed) for m in everyone] == [
        (rate, weight, seed) for rate in (0.1, 0.2) for weight in (1.0, 4.0) for seed in (7, 8)
    ]
    assert all(members(member) == [member] for member in everyone)


def test_records_have_each_member_a_summary_and_who_diverged(study):
    cwd, said = study
    records = runs.read_metrics(cwd / "study")
    alone = runs.read_metrics(cwd / "alone")
    for record, single in zip(records, alone, strict=False):
        assert record[SCORE][1] == single[SCORE]
        assert record[SCORE][2:] == [None, None]
        summary, values = record["summary"][SCORE], record[SCORE][:2]
        assert summary["mean"] == pytest.approx(np.mean(values))
        assert summary["std"] == pytest.approx(np.std(values, ddof=1))
        assert (summary["min"], summary["max"]) == (min(values), max(values))
        assert record["best_member"] == int(np.argmin(values))
        assert record["diverged"].keys() == {"2", "3"}
    assert "member 2 is frozen" in said
    assert "frozen at step" in said
    assert "mean  of 2" in said


def test_every_member_has_its_pictures(study):
    cwd, _ = study
    alone = runs.samples_path(cwd / "alone", 2).read_bytes()
    assert runs.samples_path(runs.member_path(cwd / "study", 1), 2).read_bytes() == alone
    assert imread(cwd / "study" / "curves.png")[..., :3].std() > 0.05


def test_a_member_taken_out_goes_on_as_if_it_had_always_been_alone(study, tmp_path):
    cwd, _ = study
    succeed([JAXGEN, "member", cwd / "study", "1", "own"], tmp_path)
    own = tmp_path / "own"
    assert json.loads(runs.config_path(own).read_text())["seed"] == 1
    assert timeless(runs.read_metrics(own)) == timeless(runs.read_metrics(cwd / "alone"))[:2]
    succeed([*VAE, "--resume", "own", "--epochs", "3"], tmp_path)
    assert timeless(runs.read_metrics(own)) == timeless(runs.read_metrics(cwd / "alone"))


@pytest.mark.parametrize("lost", [False, True])
def test_a_study_is_resumed_with_its_frozen_members(study, tmp_path, lost):
    cwd, _ = study
    shutil.copytree(cwd / "study", tmp_path / "study")
    if lost:  # a crash between the checkpoint and the line: the states know who is behind
        runs.forget_after(tmp_path / "study", 0)
    succeed([*VAE, "--resume", "study", "--epochs", "3"], tmp_path)
    last, single = (runs.read_metrics(p)[-1] for p in (tmp_path / "study", cwd / "alone"))
    assert last[SCORE][1] == single[SCORE]
    before = runs.read_metrics(cwd / "study")[-1]["diverged"]
    assert last["diverged"] == ({"2": 0, "3": 0} if lost else before)  # not noticed a second time
    assert last[SCORE][2:] == [None, None]


def test_a_metric_that_nobody_has_stops_the_run():
    epoch = Epoch(None, 1, 10, 1.0, {}, {1: 5})
    score = {"negative_elbo_nats": np.array([3.0, 4.0]), "nll_nats": np.array([np.inf, 4.0])}
    with pytest.raises(InputError, match="test/nll_nats not finite after step 10"):
        record_of(epoch, score, SCORE, "min")
    record = record_of(epoch, {**score, "nll_nats": np.array([1.0, np.inf])}, SCORE, "min")
    assert record["test/nll_nats"] == [1.0, None]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["study", "4", "new"], "has members 0 to 3, and no 4"),
        (["alone", "0", "new"], "is a single run"),
        (["study", "0", "alone"], "exists already"),
        (["nowhere", "0", "new"], "is no run"),
    ],
)
def test_a_member_that_is_not_there_is_refused(study, arguments, hint):
    cwd, _ = study
    done = run([JAXGEN, "member", *arguments], cwd)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--num-seeds", "0"], "num_seeds must be positive"),
        (["--sweep.learning-rate", "0"], "learning_rate must be positive"),
        (["--sweep.kl-weight", "-1"], "kl_weight must be 0 or more"),
        (["--strategy", "map"], "this is one run: ask for more with --num-seeds"),
        (["--batch-devices", "2"], "cannot be divided into groups of 2"),
        (["--batch-devices", "3"], "cannot be split evenly among 3 devices"),
        (["--distributed"], "--distributed needs --run-dir"),
        (["--process-id", "0"], "need --distributed"),
        (["--distributed", "--run-dir", "new"], "--coordinator HOST:PORT"),
    ],
)
def test_studies_that_cannot_be_are_refused_in_plain_words(tmp_path, options, hint):
    done = run([*VAE, *TINY, *options], tmp_path)
    assert done.returncode == 2, done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def prepared(tmp_path, num_seeds):
    options = RunOptions(
        dataset="mnist_5k",
        num_seeds=num_seeds,
        epochs=1,
        run_dir=tmp_path / "run",
        compilation_cache=False,
    )
    vae_mnist.main(vae_mnist.Config(model="mlp", hidden_dims=(16,), latent_dim=4, run=options))


@pytest.mark.parametrize(
    ("num_seeds", "hint"),
    [(1, "a --batch-size of about 32 would fit"), (4, "about 1 member would fit")],
)
def test_a_run_without_room_is_told_what_would_fit(tmp_path, monkeypatch, num_seeds, hint):
    monkeypatch.setattr(memory, "device_bytes", lambda: 10_000_000)
    monkeypatch.setattr(memory, "needed", lambda compiled: memory.Need(8_000_000, 4_000_000))
    with pytest.raises(InputError, match=f"takes 0.01 GB of the 0.01 GB .*{hint}"):
        prepared(tmp_path, num_seeds)
    assert not (tmp_path / "run").exists()


def test_a_run_that_nearly_fills_the_device_is_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "device_bytes", lambda: 10_000_000)
    monkeypatch.setattr(memory, "needed", lambda compiled: memory.Need(8_000_000, 1_000_000))
    prepared(tmp_path, 1)
    assert "training takes 0.01 GB of the 0.01 GB" in capsys.readouterr().out


def hosts(*options, cwd, experiment=VAE):
    """The same command as two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [*experiment, *options, "--distributed", "--coordinator", f"localhost:{port}"]
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


def test_two_hosts_train_what_one_trains_and_one_takes_over(study, tmp_path):
    cwd, _ = study
    hosts(*TINY, "--seed", "1", "--epochs", "1", "--batch-devices", "4", "--run-dir", "run",
          "--data-mode", "stream", cwd=tmp_path)  # fmt: skip
    succeed([*VAE, "--resume", "run", "--epochs", "2"], tmp_path)
    there, here = runs.read_metrics(tmp_path / "run"), runs.read_metrics(cwd / "alone")
    assert [r["step"] for r in there] == [10, 20]
    for one, other in zip(there, here, strict=False):
        assert one[SCORE] == pytest.approx(other[SCORE], rel=1e-4)
    assert len(json.loads(runs.environment_path(tmp_path / "run").read_text())) == 2


@pytest.mark.slow
def test_two_hosts_train_a_gan_and_take_over_from_one(tmp_path):
    options = ["--dataset", "mnist_5k", "--batch-size", "400"]
    hosts(*options, "--epochs", "1", "--batch-devices", "4", "--run-dir", "run", cwd=tmp_path,
          experiment=CGAN)  # fmt: skip
    succeed([*CGAN, "--resume", "run", "--epochs", "2"], tmp_path)
    hosts("--resume", "run", "--epochs", "3", "--batch-devices", "4", cwd=tmp_path, experiment=CGAN)
    succeed([*CGAN, *options, "--epochs", "3", "--run-dir", "alone"], tmp_path)
    there, here = runs.read_metrics(tmp_path / "run"), runs.read_metrics(tmp_path / "alone")
    assert [r["step"] for r in there] == [10, 20, 30]
    for loss in ("train/generator_loss", "train/discriminator_loss", "test/d_real"):
        for one, other in zip(there, here, strict=True):
            assert one[loss] == pytest.approx(other[loss], rel=1e-2)


def test_hosts_are_joined_only_if_asked(monkeypatch):
    monkeypatch.setattr(launch.jax.distributed, "initialize", lambda *args: pytest.fail("joined"))
    launch.join_hosts(RunOptions())
