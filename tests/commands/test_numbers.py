"""Degenerate data and settings: a sensible end, or a message with the true cause."""

import numpy as np
import pytest
from running import TINY_CGAN, TINY_VAE, refuse, start

from jaxgen import load_run
from jaxgen.data import builtin
from jaxgen.runs import records


@pytest.fixture
def digits(monkeypatch):
    """A function that replaces the built-in digits by a selection of them."""
    whole = {split: builtin.read(split) for split in builtin.SPLITS}

    def select(function):
        monkeypatch.setattr(builtin, "read", lambda split: function(*whole[split]))

    return select


def metrics(run_dir):
    """The finite records of a run."""
    lines = records.read_metrics(run_dir)
    for line in lines:
        assert all(np.isfinite(value) for value in line.values())
    return lines


def test_a_single_step(tmp_path):
    start("vae", *TINY_VAE, "--batch-size", 4000, "--epochs", 1, "--run-dir", tmp_path / "run")
    (line,) = metrics(tmp_path / "run")
    assert line["step"] == 1
    assert load_run(tmp_path / "run").step == 1


@pytest.mark.parametrize("recipe", ["vae", pytest.param("cgan", marks=pytest.mark.slow)])
def test_no_epoch_evaluates_the_initial_weights(tmp_path, recipe):
    options = TINY_VAE if recipe == "vae" else TINY_CGAN
    start(recipe, *options, "--epochs", 0, "--run-dir", tmp_path / "run")
    (line,) = metrics(tmp_path / "run")
    assert (line["epoch"], line["step"]) == (0, 0)
    assert not any(name.startswith("train/") for name in line)
    assert load_run(tmp_path / "run").step == 0


def test_a_single_image(tmp_path, digits):
    digits(lambda image, label: (image[:1], label[:1]))
    options = [*TINY_VAE, "--batch-size", 1, "--epochs", 3, "--run-dir", tmp_path / "run"]
    start("vae", *options)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.parametrize("recipe", ["vae", pytest.param("cgan", marks=pytest.mark.slow)])
def test_constant_images_are_named(tmp_path, digits, recipe):
    digits(lambda image, label: (np.full_like(image[::5], 7), label[::5]))
    options = TINY_VAE if recipe == "vae" else TINY_CGAN
    output = start(recipe, *options, "--epochs", 2, "--run-dir", tmp_path / "run")
    assert "all training images are the same" in output
    assert len(metrics(tmp_path / "run")) == 2


def test_a_single_class_is_refused(tmp_path, digits, monkeypatch, capsys):
    monkeypatch.setattr(builtin, "CLASS_NAMES", ("3",))
    digits(lambda image, label: (image[label == 3], np.zeros_like(label[label == 3])))
    message = refuse(capsys, "cgan", *TINY_CGAN, "--epochs", 2, "--run-dir", tmp_path / "run")
    assert "mnist_5k has only one" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick_classifier")
@pytest.mark.parametrize("recipe", ["vae", "cgan"])
def test_exploding_gradients_end_with_their_cause(tmp_path, capsys, recipe):
    options = TINY_VAE if recipe == "vae" else TINY_CGAN
    run = ["--epochs", 5, "--learning-rate", 1e30, "--run-dir", tmp_path / "run"]
    message = refuse(capsys, recipe, *options, *run)
    assert "not finite" in message
    assert "smaller --learning-rate" in message
