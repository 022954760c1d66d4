"""The conditional GAN experiment as its user meets it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from jaxgen import runs

TINY = ["--dataset", "mnist_5k", "--batch-size", "400", "--ema-decay", "0.5"]


def run(*options, cwd):
    command = [sys.executable, "-m", "experiments.cgan_mnist", *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def timeless(records):
    return [{k: v for k, v in r.items() if k not in ("seconds", "time")} for r in records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs, and what it said."""
    cwd = tmp_path_factory.mktemp("finished")
    done = run(*TINY, "--epochs", 2, "--run-dir", "run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "run", done.stdout


@pytest.mark.slow
def test_a_run_records_the_share_recognised_beside_the_judges_accuracy(finished):
    run_dir, output = finished
    (start,) = json.loads(runs.environment_path(run_dir).read_text())
    assert start["judge_accuracy"] > 0.95
    records = runs.read_metrics(run_dir)
    assert all(0 <= record["test/recognised"] <= 1 for record in records)
    assert f"{records[-1]['test/recognised']:.2%} of 10000 samples" in output
    for name in ("generator_loss", "discriminator_loss", "d_real", "d_fake"):
        assert np.isfinite(records[-1][f"train/{name}"])
    assert records[-1]["train/generator_grad_norm"] > 0


@pytest.mark.slow
def test_pictures_have_a_row_for_each_class_and_an_animation(finished):
    run_dir, _ = finished
    assert imread(runs.samples_path(run_dir, 1)).shape[:2] == (676, 676)
    assert imread(runs.samples_path(run_dir, 2))[..., :3].std() > 0.02
    with Image.open(run_dir / "training.gif") as animation:
        assert animation.n_frames == 2


@pytest.mark.slow
def test_a_resumed_run_ends_the_same_to_the_bit(finished, tmp_path):
    whole, _ = finished
    for options in (["--epochs", 1, "--run-dir", "parts"], ["--resume", "parts", "--epochs", 2]):
        done = run(*(TINY if "--run-dir" in options else []), *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    timeless = [
        [
            {k: v for k, v in record.items() if k not in ("seconds", "time")}
            for record in runs.read_metrics(path)
        ]
        for path in (whole, tmp_path / "parts")
    ]
    assert timeless[0] == timeless[1]


def test_a_batch_that_discriminator_steps_cannot_share_is_refused(tmp_path):
    done = run(*TINY, "--num-discriminator-steps", 3, "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be split evenly" in done.stderr
    assert "Traceback" not in done.stderr
