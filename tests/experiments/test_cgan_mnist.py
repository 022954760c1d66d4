"""The conditional GAN experiment as its user meets it."""

import contextlib
import io
import json
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from matplotlib.image import imread
from PIL import Image

from experiments import cgan_mnist, vae_mnist
from experiments.options import command_line, to_record
from experiments.records import member_record
from jaxgen import runs
from jaxgen.errors import InputError

TINY = ["--dataset", "mnist_5k", "--batch-size", "400", "--ema-decay", "0.5"]


def run(*options, cwd):
    command = [sys.executable, "-m", "experiments.cgan_mnist", *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def start(*options):
    """Runs the experiment in this process, and returns what it said."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(sys, "argv", ["test", *map(str, options)])
        cgan_mnist.main(command_line(cgan_mnist.Config, "test"))
    return output.getvalue()


@pytest.fixture(scope="module")
def finished(small_gan):
    """A run of two epochs, and what it said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgan_mnist, "WARM_UP_STEPS", 20)
        patch.setattr(cgan_mnist, "collapse", lambda rows, loss: f"{rows.shape} and {loss:.4f}")
        return small_gan / "whole", start(*TINY, "--epochs", 2, "--run-dir", "whole")


def assert_the_same_to_the_bit(one, other):
    """Records, pictures and the last checkpoint of two runs, but for their times."""
    records, states = [], []
    for run_dir in (one, other):
        timed = runs.read_metrics(run_dir)
        records.append(
            [{k: v for k, v in r.items() if k not in ("seconds", "time")} for r in timed]
        )
        with ocp.CheckpointManager(runs.checkpoints_path(run_dir).absolute()) as manager:
            states.append(manager.restore(manager.latest_step(), args=ocp.args.StandardRestore()))
    assert records[0] == records[1]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    last = records[0][-1]["epoch"]
    assert runs.samples_path(one, last).read_bytes() == runs.samples_path(other, last).read_bytes()


def test_a_run_says_where_it_is_and_what_it_reached(finished):
    run_dir, output = finished
    *_, place, score = output.strip().splitlines()
    last = runs.read_metrics(run_dir)[-1]
    assert "whole" in place
    assert f"{last['test/recognised']:.2%} of 1000 samples after 2 epochs on mnist_5k" in score
    (environment,) = json.loads(runs.environment_path(run_dir).read_text())
    assert f"of the real test images: {environment['judge_accuracy']:.2%}" in score


def test_collapse_is_reported_once_the_average_has_warmed_up(finished):
    run_dir, output = finished
    first, second = (r["train/discriminator_loss"] for r in runs.read_metrics(run_dir))
    assert f"collapsed: (10, 10, 32, 32, 1) and {second:.4f}" in output
    assert f"{first:.4f}" not in output


def test_a_run_records_what_it_was_and_what_it_measured(finished):
    run_dir, _ = finished
    config = json.loads(runs.config_path(run_dir).read_text())
    assert config["dataset"] == "mnist_5k"
    assert config["ema_decay"] == 0.5
    records = runs.read_metrics(run_dir)
    assert [record["step"] for record in records] == [10, 20]
    for split in ("train", "test"):
        for name in ("generator_loss", "discriminator_loss", "d_real", "d_fake"):
            assert np.isfinite(records[-1][f"{split}/{name}"])
    assert records[-1]["train/generator_grad_norm"] > 0
    assert 0 <= records[-1]["test/recognised"] <= 1
    assert json.loads((run_dir / "result.json").read_text())["metrics"] == records[-1]


def test_a_small_set_is_seen_more_often_by_default():
    assert cgan_mnist.default_epochs(60_000) == 50
    assert cgan_mnist.default_epochs(4_000) == 100


def test_pictures_have_a_row_for_each_class_and_an_animation(finished):
    run_dir, _ = finished
    for epoch in (1, 2):
        assert imread(runs.samples_path(run_dir, epoch)).shape[:2] == (676, 676)
    with Image.open(run_dir / "training.gif") as animation:
        assert animation.n_frames == 2
    assert imread(run_dir / "curves.png")[..., :3].std() > 0.05


def test_a_resumed_run_ends_the_same_to_the_bit(finished):
    whole, _ = finished
    start(*TINY, "--epochs", 1, "--run-dir", "parts")
    start("--resume", "parts", "--epochs", 2)
    assert_the_same_to_the_bit(whole, whole.parent / "parts")


def test_the_members_of_a_study_are_single_runs_and_one_that_diverges_harms_no_other(finished):
    whole, _ = finished
    said = start(
        *TINY, "--num-seeds", 2, "--sweep.learning-rate", 2e-4, 1e30, "--epochs", 2,
        "--run-dir", "study",
    )  # fmt: skip
    study = whole.parent / "study"
    for record, single in zip(runs.read_metrics(study), runs.read_metrics(whole), strict=True):
        own = member_record(record, 0)
        for timed in (own, single):
            del timed["seconds"], timed["time"]
        assert own == single
        assert record["test/recognised"][2:] == [None, None]
        assert record["diverged"].keys() == {"2", "3"}
        assert record["best_member"] == int(np.argmax(record["test/recognised"][:2]))
    assert "member 3 is frozen" in said
    pictures = [runs.samples_path(place, 2) for place in (whole, runs.member_path(study, 0))]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    with Image.open(runs.member_path(study, 1) / "training.gif") as animation:
        assert animation.n_frames == 2


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([*TINY, "--run-dir", "whole"], "--overwrite"),
        (["--resume", "whole"], "is finished: ask for more --epochs"),
        (["--resume", "whole", "--epochs", 1], "is finished: ask for more --epochs"),
        (["--resume", "whole", "--ema-decay", 0.9], r"ema_decay \(0.5 there, 0.9 here\)"),
        (["--resume", "whole", "--objective", "hinge"], "non-saturating there, hinge here"),
    ],
)
def test_a_finished_run_is_left_as_it_is(finished, options, hint):
    run_dir, _ = finished

    def contents():
        return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}

    before = contents()
    with pytest.raises(InputError, match=hint):
        start(*options)
    assert contents() == before


def test_a_run_of_another_experiment_is_not_resumed(tmp_path):
    runs.write_config(tmp_path, to_record(vae_mnist.Config()))
    with pytest.raises(InputError, match="another experiment"):
        start("--resume", tmp_path)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--batch-size", 10**9], "choose a smaller --batch-size"),
        (["--image-size", 16], "do not fit"),
        (["--dataset", "mnits"], "mnits"),
        (["--latent-dim", 0], "latent_dim must be positive"),
    ],
)
def test_what_cannot_be_done_leaves_no_directory_behind(small_gan, options, hint):
    with pytest.raises(InputError, match=hint):
        start(*TINY, "--run-dir", "refused", *options)
    assert not (small_gan / "refused").exists()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--num-discriminator-steps", 3], "cannot be split evenly among 3"),
        (["--learning-rate", "1e30"], "not finite at step 1: .* Try a smaller --learning-rate"),
    ],
)
def test_training_that_fails_is_refused(small_gan, options, hint):
    with pytest.raises(InputError, match=hint):
        start(*TINY, "--epochs", 2, "--run-dir", "failed", "--overwrite", *options)
    assert runs.read_metrics(small_gan / "failed") == []


@pytest.mark.parametrize(
    ("options", "hint"), [(["--objectve", "hinge"], "--objectve"), (["--penalty", "r2"], "r2")]
)
def test_unknown_flags_and_choices_are_refused(capsys, options, hint):
    with pytest.raises(SystemExit) as stop:
        start(*options)
    assert stop.value.code == 2
    assert hint in capsys.readouterr().err


def test_an_error_is_a_line_and_code_2(tmp_path):
    done = run(*TINY, "--ema-decay", 1.5, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "ema_decay must be from 0 to below 1, and is 1.5" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_real_thing_ends_the_same_to_the_bit_if_resumed(tmp_path):
    for options in (
        [*TINY, "--epochs", 2, "--run-dir", "whole"],
        [*TINY, "--epochs", 1, "--run-dir", "parts"],
        ["--resume", "parts", "--epochs", 2],
    ):
        done = run(*options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (environment,) = json.loads(runs.environment_path(tmp_path / "whole").read_text())
    assert environment["judge_accuracy"] > 0.95
    assert_the_same_to_the_bit(tmp_path / "whole", tmp_path / "parts")
