"""`jaxgen shapes` as its user meets it."""

import numpy as np
import pytest
from running import jaxgen, refuse_jaxgen, start

from experiments import psnr
from jaxgen.data import shapes


@pytest.fixture
def few_shapes(monkeypatch):
    monkeypatch.setattr(shapes, "NUM_IMAGES", {"train": 40, "test": 10})


def test_the_exported_folder_is_a_data_set(few_shapes, tmp_path, capsys):
    jaxgen("shapes", tmp_path / "out")
    assert "50 images of cross, half disc, square, star, triangle: " in capsys.readouterr().out
    options = ["--batch-size", 20, "--model", "mlp", "--hidden-dims", 4, "--epochs", 1]
    output = start("vae", "--dataset", tmp_path / "out", *options, "--run-dir", tmp_path / "run")
    assert "50 images as 32x32x3, of 5 classes (cross, half disc, square, star, tri" in output
    assert "is not empty: choose a new directory" in refuse_jaxgen(
        capsys, "shapes", tmp_path / "out"
    )


def test_psnr_is_compared_with_the_mean_training_image(few_shapes, tmp_path, capsys):
    options = ["--dataset", "shapes", "--batch-size", 20, "--model", "mlp", "--hidden-dims", 4]
    start("vae", *options, "--epochs", 1, "--run-dir", tmp_path / "run")
    psnr.main(tmp_path / "run")
    train, test = (shapes.read(split, 32)[0] / 255 for split in ("train", "test"))
    mse = np.square(test - train.mean(0)).mean((1, 2, 3))
    expected = np.mean(10 * np.log10(1 / mse))
    output = capsys.readouterr().out
    assert "PSNR of 10 test images: reconstructions " in output
    assert f"mean training image {expected:.2f} dB" in output
