"""Training on one's own images, from a folder to the pictures."""

import json
import shutil

import numpy as np
import photos
import pytest
from PIL import Image
from running import JAXGEN, RECIPES, assert_bit_identical, refuse, refuse_jaxgen, start, succeed

from jaxgen import load_run
from jaxgen.evaluation import classifier
from jaxgen.recipes import cgan
from jaxgen.runs import directory, records

VAE = [
    *["--model", "mlp", "--hidden-dims", 8, "--latent-dim", 2],
    *["--batch-size", 8, "--final-learning-rate", 1],
]
CGAN = ["--generator-dims", 8, 8, "--discriminator-dims", 8, 8, "--batch-size", 8]


@pytest.fixture(autouse=True)
def _quick_classifier(monkeypatch):
    monkeypatch.setattr(classifier, "NUM_STEPS", 10)
    monkeypatch.setattr(cgan, "NUM_CLASSIFIED", 500)


@pytest.fixture
def pictures(tmp_path):
    """Three classes of photos of mixed sizes, with a stray file."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("apple", "kiwi", "plum")):
        images = [photos.noise(100 * number + i, *rng.integers(9, 60, 2)) for i in range(14)]
        photos.write(tmp_path / "fruit" / name, images)
    (tmp_path / "fruit" / "Thumbs.db").write_bytes(b"stray")
    return tmp_path / "fruit"


def facts(run_dir):
    return json.loads(directory.config_path(run_dir).read_text())["facts"]


def test_a_vae_trains_on_a_folder_and_resumes_from_anywhere(tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "./fruit", "--image-size", 16, *VAE]
    output = start("vae", *options, "--epochs", 2, "--run-dir", "whole")
    assert f"{pictures}: 42 images as 16x16x3, of 3 classes (apple, kiwi, plum)" in output
    assert f"{pictures} has no test split: " in output
    assert "of 42 images are held out, chosen by their contents" in output
    assert "left out" not in output
    known = facts(tmp_path / "whole")
    assert known["dataset"] == str(pictures)
    assert known["image_shape"] == [16, 16, 3]
    assert known["class_names"] == ["apple", "kiwi", "plum"]
    assert known["num_images"] < 42
    start("vae", *options, "--epochs", 1, "--run-dir", "parts")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    start("vae", "--resume", "../parts", "--epochs", 2)
    assert_bit_identical(tmp_path / "whole", tmp_path / "parts")


def test_a_folder_that_was_moved_is_given_anew_and_one_that_has_changed_is_refused(
    tmp_path, pictures, capsys
):
    run_dir = tmp_path / "run"
    start(
        "vae", "--dataset", pictures, "--image-size", 16, *VAE, "--epochs", 1, "--run-dir", run_dir
    )
    moved = tmp_path / "moved"
    pictures.rename(moved)
    assert f"{pictures} does not exist" in refuse(capsys, "vae", "--resume", run_dir, "--epochs", 2)
    start("vae", "--resume", run_dir, "--epochs", 2, "--dataset", moved)
    photos.noise(7).save(moved / "apple" / "new.png")
    message = refuse(capsys, "vae", "--resume", run_dir, "--epochs", 3, "--dataset", moved)
    assert f"The data set {moved} is not the one that {run_dir} was started with" in message


@pytest.mark.slow
def test_a_cgan_names_its_classes_and_resumes(tmp_path, pictures, capsys):
    options = ["--dataset", pictures, "--image-size", 16, *CGAN]
    output = start("cgan", *options, "--epochs", 2, "--run-dir", tmp_path / "whole")
    assert "model conv, convolutional networks: the images are in color" in output
    assert "recognized as the requested class" in output
    start("cgan", *options, "--epochs", 1, "--run-dir", tmp_path / "parts")
    start("cgan", "--resume", tmp_path / "parts", "--epochs", 2)
    assert_bit_identical(tmp_path / "whole", tmp_path / "parts")
    with Image.open(directory.samples_path(tmp_path / "whole", 2)) as picture:
        assert picture.height == 3 * (16 + 2) * 2 - 4
        assert 60 < picture.width - (10 * (16 + 2) * 2 - 4) < 120  # "apple", "kiwi", "plum"
    message = refuse_jaxgen(capsys, "export", tmp_path / "whole", tmp_path / "gan.pt")
    assert "PyTorch files hold the course's networks, and those of this run are" in message
    again = ["--batch-size", 8, "--epochs", 0, "--run-dir", tmp_path / "again"]
    start("cgan", "--init-from", tmp_path / "whole", *again)
    before, after = (load_run(tmp_path / name).sample(4) for name in ("whole", "again"))
    np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_members_of_a_population_in_color_are_single_runs(tmp_path, pictures):
    options = ["--dataset", pictures, "--image-size", 16, *CGAN, "--epochs", 2]
    start("cgan", *options, "--num-seeds", 2, "--strategy", "map", "--run-dir", tmp_path / "two")
    start("cgan", *options, "--seed", 1, "--run-dir", tmp_path / "single")
    member = load_run(tmp_path / "two").member(1)
    single = load_run(tmp_path / "single")
    np.testing.assert_allclose(member.sample(4), single.sample(4), atol=1e-4)


def test_a_vae_needs_no_labels_and_a_cgan_says_that_it_does(tmp_path, capsys):
    photos.write(tmp_path / "flat", [photos.noise(i) for i in range(30)])
    output = start(
        "vae", "--dataset", tmp_path / "flat", "--image-size", 16, *VAE, "--epochs", 1,
        "--run-dir", tmp_path / "run",
    )  # fmt: skip
    assert "of 1 class (unlabeled)" in output
    assert facts(tmp_path / "run")["class_names"] == ["unlabeled"]
    message = refuse(
        capsys, "cgan", "--dataset", tmp_path / "flat", "--image-size", 16, *CGAN,
        "--run-dir", tmp_path / "none",
    )  # fmt: skip
    assert "flat has only one: sort its images into a folder for each class, or train" in message
    assert not (tmp_path / "none").exists()


def test_broken_files_are_named_or_counted(tmp_path, pictures, capsys):
    for name in ("a.jpg", "b.jpg"):
        (pictures / "kiwi" / name).write_bytes(b"no image" + name.encode())
    options = ["--dataset", pictures, "--image-size", 16, *VAE, "--epochs", 1]
    message = refuse(capsys, "vae", *options, "--run-dir", tmp_path / "run")
    assert f"{pictures}/kiwi/a.jpg cannot be read" in message
    assert not (tmp_path / "run").exists()
    output = start("vae", *options, "--skip-broken", "--run-dir", tmp_path / "run")
    assert "2 broken files are left out" in output
    assert "42 images as" in output


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_class_to_test_that_training_lacks_is_named_before_training(
    tmp_path, pictures, capsys, recipe
):
    for split in ("train", "test"):
        shutil.copytree(pictures, tmp_path / "split" / split)
    (tmp_path / "split" / "test" / "kiwi").rename(tmp_path / "split" / "test" / "kiwis")
    options = {"vae": VAE, "cgan": CGAN}[recipe]
    message = refuse(
        capsys, recipe, "--dataset", tmp_path / "split", "--image-size", 16, *options,
        "--run-dir", tmp_path / "run",
    )  # fmt: skip
    assert "has 14 image(s) of the class kiwis to test, but none to train on" in message
    assert not (tmp_path / "run").exists()


def test_labels_with_gaps_give_no_phantom_classes(tmp_path):
    """3 and 7 only: two rows of pictures, and two classes for the classifier."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 8, 8)).astype(np.uint8)
    path = tmp_path / "digits.npz"
    np.savez(path, image=image, label=np.where(np.arange(60) % 2, 3, 7))
    run_dir = tmp_path / "run"
    start("cgan", "--dataset", path, "--image-size", 8, *CGAN, "--epochs", 0, "--run-dir", run_dir)
    assert facts(run_dir)["class_names"] == ["3", "7"]
    assert facts(run_dir)["image_shape"] == [8, 8, 1]
    with Image.open(directory.samples_path(run_dir, 0)) as picture:
        assert picture.height == 2 * (8 + 2) * 2 - 4
    run = load_run(run_dir)
    assert run.learner.num_classes == 2
    assert np.isfinite(run.sample([0, 1])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "./photos"], "photos does not exist: give a folder of images"),
        (["--dataset", "digits.npz"], "digits.npz does not exist"),
        (["--dataset", "mnist_5k", "--channels", 2], "--channels"),
        (["--dataset", "mnist_5k", "--resize", "zoom"], "--resize"),
        (["--dataset", "mnist_5k", "--image-size", 16], "--resize crop, pad or stretch"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refuse(capsys, "vae", *options, *VAE)
    assert list(tmp_path.iterdir()) == []


def test_digits_in_color_and_smaller(tmp_path):
    run_dir = tmp_path / "run"
    options = ["--dataset", "mnist_5k", "--channels", 3, "--image-size", 16, "--resize", "stretch"]
    start("vae", *options, *VAE, "--epochs", 0, "--run-dir", run_dir)
    assert facts(run_dir)["image_shape"] == [16, 16, 3]
    assert records.read_metrics(run_dir)[0]["epoch"] == 0


@pytest.mark.slow
def test_the_commands_of_the_readme_in_processes(tmp_path, pictures):
    succeed(
        JAXGEN, "train", "vae", "--dataset", "./fruit", "--image-size", 16, *VAE, "--epochs", 1,
        cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "runs" / "vae-1" / "reconstructions.png").is_file()
    options = ["--dataset", "./fruit", *CGAN, "--epochs", 1]
    succeed(JAXGEN, "train", "cgan", *options, cwd=tmp_path)
    succeed(JAXGEN, "sample", "runs/cgan-1", "--num", 30, "--output", "./samples", cwd=tmp_path)
    found = {path.name: len(list(path.iterdir())) for path in (tmp_path / "samples").iterdir()}
    assert found == {"apple": 10, "kiwi": 10, "plum": 10}
