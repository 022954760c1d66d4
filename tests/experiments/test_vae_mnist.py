"""The VAE experiment as its user meets it: a process, its files, its pictures, its messages."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from jaxgen import runs

TINY = [
    "--dataset",
    "mnist_5k",
    "--model",
    "mlp",
    "--hidden-dims",
    "16",
    "16",
    "--latent-dim",
    "4",
    "--batch-size",
    "400",
]
LINE_LIMIT = 2


def run(*options, cwd, **variables):
    command = [sys.executable, "-m", "experiments.vae_mnist", *map(str, options)]
    env = os.environ | variables
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def succeed(*options, cwd):
    done = run(*options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def checkpoint_files(run_dir):
    """The arrays of the last checkpoint, restored without the project's help."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(runs.checkpoints_path(run_dir).absolute()) as manager:
        return manager.restore(manager.latest_step(), args=ocp.args.StandardRestore())


def leaves(tree):
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def timeless(records):
    return [{k: v for k, v in r.items() if k not in ("seconds", "time")} for r in records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four epochs, and what it said."""
    cwd = tmp_path_factory.mktemp("finished")
    return cwd / "whole", succeed(*TINY, "--epochs", 4, "--run-dir", "whole", cwd=cwd)


def test_a_run_says_where_it_is_and_what_it_reached(finished):
    run_dir, output = finished
    *_, place, score = output.strip().splitlines()
    last = runs.read_metrics(run_dir)[-1]
    assert "whole" in place
    assert f"{-last['test/negative_elbo_nats']:.2f} nats" in score
    assert "mnist_5k" in score
    assert "epoch   4" in output


def test_a_run_records_what_it_was_and_learned_something(finished):
    run_dir, _ = finished
    config = json.loads((run_dir / "config.json").read_text())
    assert config["dataset"] == "mnist_5k"
    assert config["hidden_dims"] == [16, 16]
    (start,) = json.loads((run_dir / "environment.json").read_text())
    assert start["convolution"] == "matmul" or start["backend"] != "cpu"
    records = runs.read_metrics(run_dir)
    assert [record["step"] for record in records] == [10, 20, 30, 40]
    bounds = [record["test/negative_elbo_nats"] for record in records]
    assert bounds == sorted(bounds, reverse=True)
    result = json.loads((run_dir / "result.json").read_text())
    assert result["metrics"] == records[-1]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("samples/epoch_0001.png", (540, 540)),
        ("samples/epoch_0004.png", (540, 540)),
        ("reconstructions.png", (540, 540)),
        ("curves.png", (350, 1500)),
    ],
)
def test_pictures_are_there_and_not_blank(finished, name, shape):
    picture = imread(finished[0] / name)
    assert picture.shape[:2] == shape
    assert picture[..., :3].std() > 0.05


def test_reconstructions_stand_beside_the_test_digits(finished):
    from jaxgen import data

    picture = imread(finished[0] / "reconstructions.png")[:, :, 0]
    test = data.pad_to(data.load("mnist_5k", "test"), 32).image[..., 0] / 255
    for index in range(4):
        left = 2 * index * 68
        np.testing.assert_allclose(picture[:64:2, left : left + 64 : 2], test[index], atol=1 / 255)


def test_a_resumed_run_ends_the_same_to_the_bit_as_an_uninterrupted_one(finished, tmp_path):
    whole, _ = finished
    succeed(*TINY, "--epochs", 2, "--run-dir", "parts", cwd=tmp_path)
    parts = tmp_path / "parts"
    with runs.metrics_path(parts).open("a") as file:  # a crash after an epoch's line
        file.write(json.dumps({"epoch": 3, "step": 30, "train/loss": 0.0}) + "\n")
    resumed = run("--resume", "parts", "--epochs", 4, cwd=tmp_path, JAX_LOG_COMPILES="1")
    assert "epoch   2" not in resumed.stdout
    assert resumed.stderr.count("Compiling jit(train_chunk)") == 1
    assert resumed.stderr.count("Compiling jit(evaluate)") == 1

    for one, other in zip(
        leaves(checkpoint_files(whole)), leaves(checkpoint_files(parts)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    timeless = [
        [
            {k: v for k, v in record.items() if k not in ("seconds", "time")}
            for record in runs.read_metrics(path)
        ]
        for path in (whole, parts)
    ]
    assert timeless[0] == timeless[1]
    assert (whole / "samples/epoch_0004.png").read_bytes() == (
        parts / "samples/epoch_0004.png"
    ).read_bytes()
    assert len(json.loads((parts / "environment.json").read_text())) == 2


def test_a_run_that_was_killed_ends_the_same_to_the_bit(finished, tmp_path):
    whole, _ = finished
    command = [sys.executable, "-m", "experiments.vae_mnist", *TINY]
    with subprocess.Popen(
        [*command, "--epochs", "4", "--run-dir", "killed"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch   2"):
                process.kill()
                break
    succeed("--resume", "killed", cwd=tmp_path)
    for one, other in zip(
        leaves(checkpoint_files(whole)), leaves(checkpoint_files(tmp_path / "killed")), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    steps = [record["step"] for record in runs.read_metrics(tmp_path / "killed")]
    assert steps == [10, 20, 30, 40]


def bad_inputs():
    huge = 10**9
    return {
        "flag": (["--modle", "mlp"], "--modle"),
        "choice": (["--model", "rnn"], "rnn"),
        "data set": (["--dataset", "mnits"], "mnits"),
        "offline": (["--dataset", "kmnist", "--data-dir", "none"], "--manual-dir"),
        "image size": (["--dataset", "mnist_5k", "--image-size", "36"], "divisible by 32"),
        "large images": (["--dataset", "mnist_5k", "--image-size", "16"], "do not fit"),
        "batch": (["--dataset", "mnist_5k", "--batch-size", huge], "--batch-size"),
        "resume": (["--resume", "nowhere"], "nowhere is no run"),
        "no directory": ([*TINY, "--run-dir", "file/run"], "file"),
        "rate": ([*TINY, "--learning-rate", "1e30", "--epochs", 2], "not finite at step"),
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_input_gets_a_line_or_two_and_code_2(tmp_path, name):
    options, hint = bad_inputs()[name]
    (tmp_path / "file").touch()
    done = run(*options, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    if name not in ("flag", "choice"):  # tyro frames its messages
        assert len(done.stderr.strip().splitlines()) <= LINE_LIMIT


def test_an_existing_run_is_not_overwritten_unasked(finished):
    run_dir, _ = finished
    before = runs.metrics_path(run_dir).read_text()
    done = run(*TINY, "--run-dir", "whole", cwd=run_dir.parent)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert runs.metrics_path(run_dir).read_text() == before


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--seed", 1, "--learning-rate", "0.5"], "learning_rate (0.001 there, 0.5 here)"),
        (["--epochs", 4], "is finished: ask for more --epochs"),
        (["--epochs", 3], "is finished: ask for more --epochs"),
    ],
)
def test_a_run_resumes_only_as_what_it_was(finished, options, hint):
    run_dir, _ = finished
    before = (run_dir / "config.json").read_text()
    done = run("--resume", "whole", *options, cwd=run_dir.parent)
    assert done.returncode == 2
    assert hint in done.stderr
    assert (run_dir / "config.json").read_text() == before


def test_a_run_of_another_experiment_is_not_resumed(finished, tmp_path):
    run_dir, _ = finished
    shutil.copytree(run_dir, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text('{"seed": 0}')
    done = run("--resume", "copy", cwd=tmp_path)
    assert done.returncode == 2
    assert "another experiment" in done.stderr


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    succeed(*TINY, "--epochs", 1, "--run-dir", "run", cwd=tmp_path)
    config = json.loads((tmp_path / "run/config.json").read_text())
    before = leaves(checkpoint_files(tmp_path / "run"))
    assert config["learning_rate"] == 0.001
    # As if the numbers had gone wrong in the second epoch: poison the optimizer's rate on the way
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import jax, jax.numpy as jnp\n"
            "from experiments import launch, vae_mnist\n"
            "begin = launch.begin\n"
            "launch.begin = lambda *args, **details: jax.tree.map(\n"
            "    lambda x: x * jnp.nan if x.dtype == jnp.float32 else x, begin(*args, **details))\n"
            "from jaxgen import console\n"
            "with console.errors_in_plain_words():\n"
            "    vae_mnist.main(vae_mnist.command_line(vae_mnist.Config, 'test'))\n",
            "--resume",
            "run",
            "--epochs",
            "3",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "not finite at step 10" in done.stderr
    for one, other in zip(before, leaves(checkpoint_files(tmp_path / "run")), strict=True):
        np.testing.assert_array_equal(one, other)


def test_help_says_what_each_option_means(tmp_path):
    output = succeed("--help", cwd=tmp_path)
    for option in ("--model", "--dataset", "--manual-dir", "--resume", "--kl-warmup-epochs"):
        assert option in output
    assert "squared error" in output
