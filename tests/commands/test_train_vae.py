"""Training a VAE as its user meets it: a process, its files, its pictures, its messages."""

import json

import numpy as np
import pytest
from matplotlib.image import imread
from running import (
    TINY_VAE,
    VAE,
    assert_bit_identical,
    checkpoint_leaves,
    fail,
    refuse,
    run,
    start,
    succeed,
)

from jaxgen import load_run
from jaxgen.data import load
from jaxgen.runs import directory, records

SCORE = "test/negative_elbo_nats"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four epochs, and its output."""
    run_dir = tmp_path_factory.mktemp("finished") / "whole"
    return run_dir, start("vae", *TINY_VAE, "--epochs", 4, "--run-dir", run_dir)


def test_a_run_says_where_it_is_and_what_it_reached(finished):
    run_dir, output = finished
    *_, place, score = output.strip().splitlines()
    last = records.read_metrics(run_dir)[-1]
    assert "whole" in place
    assert score == f"test ELBO: {-last[SCORE]:.2f} nats after 4 epochs on mnist_5k"
    assert "epoch   4" in output


COLOR = ["--dataset", "shapes", "--image-size", 16, *TINY_VAE[2:]]


def test_color_images_have_a_likelihood_of_8_bit_pixels_which_is_said(tmp_path):
    output = start("vae", *COLOR, "--epochs", 1, "--run-dir", tmp_path / "run")
    chosen = "objective gaussian-fitted, the ELBO of 8-bit pixels: the images are in color"
    assert chosen in output
    (line,) = records.read_metrics(tmp_path / "run")
    bits = (line[SCORE] / (16 * 16 * 3) + np.log(256)) / np.log(2)
    assert line["test/bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    assert f"({bits:.3f} bits/dim) after 1 epochs on shapes" in output


@pytest.mark.slow
def test_a_fitted_variance_survives_a_resumption(tmp_path):
    options = [*COLOR, "--final-learning-rate", 1]  # as if planned for as many epochs
    start("vae", *options, "--epochs", 2, "--run-dir", tmp_path / "whole")
    start("vae", *options, "--epochs", 1, "--run-dir", tmp_path / "parts")
    start("vae", "--resume", tmp_path / "parts", "--epochs", 2)
    assert_bit_identical(tmp_path / "whole", tmp_path / "parts")
    first, second = (load_run(tmp_path / "parts", step).state.variance for step in (10, 20))
    assert 0 < second < first < 1


def test_binarizing_color_images_is_warned_about(tmp_path):
    options = [*COLOR, "--objective", "bernoulli", "--epochs", 0]
    output = start("vae", *options, "--run-dir", tmp_path / "run")
    assert "warning: objective bernoulli models randomly binarized pixels" in output


def test_a_run_records_what_it_was_and_learned_something(finished):
    run_dir, _ = finished
    config = json.loads((run_dir / "config.json").read_text())
    assert config["recipe"] == "vae"
    assert config["config"]["hidden_dims"] == [16, 16]
    assert config["facts"]["image_shape"] == [32, 32, 1]
    assert config["facts"]["class_names"] == list("0123456789")
    assert config["facts"]["num_images"] == 4000
    (environment,) = json.loads((run_dir / "environment.json").read_text())
    assert environment["convolution"] == "matmul" or environment["backend"] != "cpu"
    lines = records.read_metrics(run_dir)
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    bounds = [line[SCORE] for line in lines]
    assert bounds == sorted(bounds, reverse=True)
    for line in lines:
        total = line["test/reconstruction_nats"] + line["test/kl_nats"]
        assert line[SCORE] == pytest.approx(total, rel=1e-5)
    result = json.loads((run_dir / "result.json").read_text())
    assert result["metrics"] == lines[-1]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("samples/epoch_0001.png", (540, 540)),
        ("samples/epoch_0004.png", (540, 540)),
        ("reconstructions.png", (540, 540)),
        ("curves.png", (350, 1500)),
    ],
)
def test_pictures_are_not_blank(finished, name, shape):
    picture = imread(finished[0] / name)
    assert picture.shape[:2] == shape
    assert picture[..., :3].std() > 0.05


def test_reconstructions_are_beside_the_test_digits(finished):
    picture = imread(finished[0] / "reconstructions.png")[:, :, 0]
    test = load("mnist_5k", "test", image_size=32).image[..., 0] / 255
    for index in range(4):
        left = 2 * index * 68
        np.testing.assert_allclose(picture[:64:2, left : left + 64 : 2], test[index], atol=1 / 255)


def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tmp_path):
    parts = tmp_path / "parts"
    # the learning rate is scheduled over the epochs planned at the start
    config = [*TINY_VAE, "--final-learning-rate", 1]
    start("vae", *config, "--epochs", 3, "--run-dir", tmp_path / "whole")
    start("vae", *config, "--epochs", 1, "--run-dir", parts)
    with directory.metrics_path(parts).open("a") as file:  # a crash after an epoch's line
        file.write(json.dumps({"epoch": 2, "step": 20, "train/loss": 0.0}) + "\n")
    resumed = run(VAE, "--resume", "parts", "--epochs", 3, cwd=tmp_path, JAX_LOG_COMPILES="1")
    assert "epoch   1" not in resumed.stdout
    assert resumed.stderr.count("Compiling jit(train_chunk)") == 1
    assert resumed.stderr.count("Compiling jit(evaluate)") == 1
    assert_bit_identical(tmp_path / "whole", parts)
    assert len(json.loads((parts / "environment.json").read_text())) == 2


BAD_OPTIONS = {
    "flag": (["--modle", "mlp"], "--modle"),
    "choice": (["--model", "rnn"], "rnn"),
    "data set": (["--dataset", "mnits"], "Did you mean mnist"),
    "offline": (["--dataset", "kmnist", "--data-dir", "none"], "--manual-dir"),
    "image size": (["--dataset", "mnist_5k", "--image-size", "36"], "divisible by 32"),
    "large images": (["--dataset", "mnist_5k", "--image-size", "16"], "do not fit"),
    "batch": (["--dataset", "mnist_5k", "--batch-size", 10**9], "--batch-size"),
    "resume": (["--resume", "nowhere"], "nowhere is not a run"),
    "resume elsewhere": (["--resume", "nowhere", "--run-dir", "x"], "continues in nowhere itself"),
    "brackets": ([*TINY_VAE, "--run-dir", "run[1]"], "cannot be restored"),
    "no directory": ([*TINY_VAE, "--run-dir", "file/run"], "file"),
    "weights": ([*TINY_VAE, "--init-from", "nowhere.pt"], "nowhere.pt"),
    "rate": ([*TINY_VAE, "--learning-rate", "1e30", "--epochs", 2], "not finite at step"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_input_gets_a_message_and_code_2(tmp_path, monkeypatch, capsys, name):
    options, hint = BAD_OPTIONS[name]
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert hint in refuse(capsys, "vae", *options)


def test_a_message_is_one_line_in_a_process(tmp_path):
    message = fail(VAE, "--dataset", "mnits", cwd=tmp_path)
    assert message.startswith("error: There is no data set 'mnits'")
    assert len(message.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_not_overwritten_unasked(finished, capsys):
    run_dir, _ = finished
    before = directory.metrics_path(run_dir).read_text()
    assert "--overwrite" in refuse(capsys, "vae", *TINY_VAE, "--run-dir", run_dir)
    assert directory.metrics_path(run_dir).read_text() == before


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--seed", 1, "--learning-rate", "0.5"], "learning_rate (0.001 there, 0.5 here), seed"),
        (["--sweep.kl-weight", 1, 2], "sweep.kl_weight (() there, (1.0, 2.0) here)"),
        (["--learning-rate", "0.5"], "start a new one from its weights with --init-from"),
        (["--epochs", 4], "is finished: ask for more --epochs"),
        (["--epochs", 3], "is finished: ask for more --epochs"),
        (["--dataset", "mnist"], "another dataset (mnist_5k there, mnist here)"),
    ],
)
def test_a_run_resumes_only_as_what_it_was(finished, capsys, options, hint):
    run_dir, _ = finished
    before = (run_dir / "config.json").read_text()
    assert hint in refuse(capsys, "vae", "--resume", run_dir, *options)
    assert (run_dir / "config.json").read_text() == before


def test_a_run_of_another_recipe_is_not_resumed(finished, capsys):
    message = refuse(capsys, "cgan", "--resume", finished[0])
    assert "is a run of the recipe 'vae', not of 'cgan'" in message


def test_a_changed_data_set_is_noticed(finished, tmp_path, capsys, monkeypatch):
    """The same images with one corrected label."""
    from jaxgen.data import builtin

    read = builtin.read

    def relabeled(split):
        image, label = read(split)
        label = label.copy()
        label[7] = (label[7] + 1) % 10
        return image, label

    monkeypatch.setattr(builtin, "read", relabeled)
    message = refuse(capsys, "vae", "--resume", finished[0], "--epochs", 5)
    assert "is not the one that" in message


def test_divergence_keeps_the_last_good_checkpoint(tmp_path, capsys, monkeypatch):
    """As if the numbers went wrong in the second epoch: a NaN in the optimizer's rate."""
    from jaxgen.training import checkpoint

    run_dir = tmp_path / "run"
    start("vae", *TINY_VAE, "--epochs", 1, "--run-dir", run_dir)
    before = checkpoint_leaves(run_dir)
    restore = checkpoint.restore

    def poisoned(*args):
        import jax
        import jax.numpy as jnp

        return jax.tree.map(lambda x: x * jnp.nan if x.dtype == jnp.float32 else x, restore(*args))

    monkeypatch.setattr(checkpoint, "restore", poisoned)
    message = refuse(capsys, "vae", "--resume", run_dir, "--epochs", 3)
    assert "not finite at step 10" in message
    assert "Start a new run with a smaller --learning-rate" in message
    for one, other in zip(before, checkpoint_leaves(run_dir), strict=True):
        np.testing.assert_array_equal(one, other)


def test_help_describes_each_option(tmp_path):
    output = succeed(VAE, "--help", cwd=tmp_path)
    for option in ("--model", "--dataset", "--manual-dir", "--resume", "--kl-warmup-epochs"):
        assert option in output
    assert "squared error" in output
