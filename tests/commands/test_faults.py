"""Faults in a run: signals, kills, damaged files, a second process. Nothing is lost or changed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import pytest
from running import (
    IN_CHUNKS,
    JAXGEN,
    TINY_VAE,
    VAE,
    assert_bit_identical,
    fail,
    jaxgen,
    refuse,
    run,
    start,
    succeed,
)

from experiments.faults import subjects
from experiments.faults.kills import survive
from experiments.faults.subjects import SINGLE
from jaxgen.runner import pace
from jaxgen.runner.progress import Reporter
from jaxgen.runs import directory, records


@pytest.fixture(autouse=True)
def _interruptible():
    """As in a shell's foreground: processes in its background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (signal.SIGTERM, 50),
        (signal.SIGINT, 100),
        pytest.param(signal.SIGUSR1, 250, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_within_a_chunk_and_the_run_resumes_bit_identically(
    whole, tmp_path, capsys, monkeypatch, number, step
):
    show = Reporter.show

    def interrupted(reporter, chunk, *args):
        show(reporter, chunk, *args)
        if chunk.step == step:
            signal.raise_signal(number)

    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "show", interrupted)
        with pytest.raises(SystemExit) as stop:
            start("vae", *IN_CHUNKS, "--run-dir", run_dir)
    assert stop.value.code == 128 + number
    lines = records.read_metrics(run_dir)
    assert [line["step"] for line in lines] == [100, 200][: step // 100]
    assert (directory.checkpoints_path(run_dir) / f"{step}.json").exists()
    assert signal.getsignal(number) not in (None, signal.SIG_IGN)
    start("vae", "--resume", run_dir)
    assert_bit_identical(whole, run_dir)


def test_a_second_interrupt_ends_the_run_at_once(tmp_path, monkeypatch):
    def twice(reporter, chunk, *args):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Reporter, "show", twice)
    with pytest.raises(SystemExit) as stop:
        start("vae", *IN_CHUNKS, "--run-dir", tmp_path / "run")
    assert stop.value.code == 2
    assert records.read_metrics(tmp_path / "run") == []


def background(tmp_path, *options):
    """A training process, once its first epoch is recorded."""
    command = [*VAE, *IN_CHUNKS, *options, "--run-dir", "run"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not records.read_metrics(tmp_path / "run"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_a_process_in_training_refuses_another_and_stops_on_a_signal(tmp_path):
    """And commands that only read work beside it."""
    process = background(tmp_path, "--epochs", "400")
    message = fail(VAE, "--resume", "run", cwd=tmp_path)
    assert f"in use by process {process.pid}" in message
    assert "intact" in run(JAXGEN, "verify", "run", cwd=tmp_path).stdout
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "stopped by SIGTERM after step" in output
    assert "can be resumed from step" in succeed(JAXGEN, "verify", "run", cwd=tmp_path)


@pytest.mark.parametrize("num_kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_runs_survive_kills_at_random_moments(tmp_path, num_kills):
    """Those of saving, of records and of pictures among them."""
    (tmp_path / "cache").symlink_to(os.environ["XDG_CACHE_HOME"])
    subject, kills = SINGLE, []
    recipe, *options = subjects.train(subject, tmp_path / "reference")[2:]
    start(recipe, *options)
    rng = np.random.default_rng(0)
    while len(kills) < num_kills:
        run_dir = tmp_path / f"run-{len(kills)}"
        found = survive(subject, run_dir, tmp_path / "reference", rng, num_kills - len(kills))
        assert found.lost == found.changed == []
        kills += found.kills
    print(Counter(kill.moment for kill in kills))


def latest(run_dir):
    return max(int(p.stem) for p in directory.checkpoints_path(run_dir).glob("*.json"))


def largest_file(run_dir, step):
    files = (directory.checkpoints_path(run_dir) / str(step)).rglob("*")
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_size)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(whole, copy):
    file = largest_file(copy, latest(copy))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    output = start("vae", "--resume", copy)
    assert f"{file} is altered: using the checkpoint of step 275" in output
    assert_bit_identical(whole, copy)


def test_without_a_sound_checkpoint_nothing_is_deleted_or_trained(copy, capsys):
    for manifest in directory.checkpoints_path(copy).glob("*.json"):
        manifest.write_text("")
    before = sorted(copy.rglob("*"))
    assert "can be used" in refuse(capsys, "vae", "--resume", copy, "--epochs", 4)
    assert sorted(copy.rglob("*")) == before


def test_an_end_that_was_interrupted_is_repeated(whole, copy):
    """The result is written last; without it, the pictures before it may be torn."""
    directory.result_path(copy).unlink()
    (copy / "curves.png").write_bytes(b"torn")
    (copy / "training.gif").unlink()
    start("vae", "--resume", copy)
    for name in ("curves.png", "training.gif"):
        assert (copy / name).read_bytes() == (whole / name).read_bytes()
    one, other = (json.loads(directory.result_path(run).read_text()) for run in (whole, copy))
    assert one["metrics"] == other["metrics"]


def test_short_epochs_are_saved_together_with_all_their_lines(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "SECONDS_BETWEEN_EPOCHS", 60)
    start("vae", *IN_CHUNKS, "--save-every", 1, "--run-dir", tmp_path / "run")
    (manifest,) = directory.checkpoints_path(tmp_path / "run").glob("*.json")
    assert len(json.loads(manifest.read_text())["extra"]["lines"]) == 3
    assert_bit_identical(whole, tmp_path / "run")


def test_missing_checkpoints_are_not_silently_epoch_1(copy, capsys):
    shutil.rmtree(directory.checkpoints_path(copy))
    assert "holds no checkpoint" in refuse(capsys, "vae", "--resume", copy, "--epochs", 4)


@pytest.mark.parametrize("name", ["config.json", "environment.json", "metrics.jsonl"])
@pytest.mark.parametrize("text", ['{"epoch": ', "[[", "5\n", "null\n", '{"epoch": "x"}\n'])
def test_a_damaged_record_is_named(copy, capsys, name, text):
    (copy / name).write_text(text)
    if name == "metrics.jsonl" and not text.endswith("\n"):
        return  # a line that a crash truncated: it is written again
    message = refuse(capsys, "vae", "--resume", copy, "--epochs", 4)
    assert name in message
    assert (copy / name).read_text() == text


def test_a_truncated_last_line_is_written_again(whole, copy):
    path = directory.metrics_path(copy)
    path.write_text(path.read_text()[:-30])
    start("vae", "--resume", copy, "--epochs", 4)
    epochs = [line["epoch"] for line in records.read_metrics(copy)]
    assert epochs == [1, 2, 3, 4]  # the checkpoint of epoch 3 holds its line


def test_verify_checks_the_whole_run(copy, tmp_path):
    assert succeed(JAXGEN, "verify", copy, cwd=tmp_path).splitlines() == [
        "environment.json: intact",
        "metrics.jsonl: intact",
        "result.json: intact",
        "checkpoint of step 275: intact",
        "checkpoint of step 300: intact",
        "the run can be resumed from step 300",
    ]
    file = largest_file(copy, 300)
    file.unlink()
    done = run(JAXGEN, "verify", copy, cwd=tmp_path)
    assert done.returncode == 1
    assert f"checkpoint of step 300: {file} is missing" in done.stdout
    assert "can be resumed from step 275" in done.stdout
    assert "is not a run" in fail(JAXGEN, "verify", tmp_path, cwd=tmp_path)


@pytest.mark.parametrize("name", ["environment.json", "result.json", "evaluation.json"])
def test_another_digit_in_a_record_is_named(copy, capsys, name):
    records.write_evaluation(copy, {"checkpoint": 300})
    text = (copy / name).read_text()
    (copy / name).write_text(text.replace("3", "4", 1))
    with pytest.raises(SystemExit) as end:
        jaxgen("verify", copy)
    assert end.value.code == 1
    assert f"{copy / name} is altered since it was written" in capsys.readouterr().out


def test_a_line_lacks_no_checkpoint(whole):
    """The record of every line was committed before: the manifests name their scores."""
    score = {r["step"]: r["test/negative_elbo_nats"] for r in records.read_metrics(whole)}
    for manifest in directory.checkpoints_path(whole).glob("*.json"):
        content = json.loads(manifest.read_text())
        if content["step"] in score:
            assert content["score"] == score[content["step"]]
        else:  # within an epoch
            assert np.isnan(content["score"])


@pytest.mark.slow
def test_a_large_kl_weight_collapses_and_the_remedy_works(tmp_path):
    options = [*TINY_VAE, "--epochs", 2, "--learning-rate", "1e-2"]
    output = start("vae", *options, "--kl-weight", 100, "--run-dir", tmp_path / "heavy")
    assert "collapsed: the posterior equals the prior" in output
    assert "--kl-weight" in output
    output = start("vae", *options, "--kl-weight", 0.1, "--run-dir", tmp_path / "light")
    assert "collapsed" not in output
