"""`jaxgen sample`: images from a run, as files."""

import json

import numpy as np
import photos
import pytest
from PIL import Image
from running import jaxgen, refuse_jaxgen, start

from jaxgen import load, load_run
from jaxgen.evaluation import classifier
from jaxgen.pixels import to_uint8
from jaxgen.recipes import cgan

CGAN = ["--generator-dims", 8, 8, "--discriminator-dims", 8, 8, "--batch-size", 8]
VAE = ["--model", "mlp", "--hidden-dims", 8, "--latent-dim", 2, "--batch-size", 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    photos.write_classes(folder / "fruit", **{"apple": 12, "kiwi: ripe": 12, "plum": 12})
    return folder


@pytest.fixture(scope="module")
def by_class(folder):
    """A conditional run in color."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "NUM_STEPS", 10)
        patch.setattr(cgan, "NUM_CLASSIFIED", 500)
        options = ["--dataset", folder / "fruit", "--image-size", 8, "--epochs", 2]
        start("cgan", *options, *CGAN, "--run-dir", folder / "cgan")
    return folder / "cgan"


@pytest.fixture(scope="module")
def members(folder):
    """A population without labels, of grey images."""
    options = ["--dataset", folder / "fruit", "--image-size", 8, "--channels", 1, "--epochs", 1]
    start("vae", *options, *VAE, "--num-seeds", 2, "--run-dir", folder / "vae")
    return folder / "vae"


def test_a_folder_for_each_class(by_class, tmp_path, capsys):
    output = tmp_path / "new" / "samples"
    jaxgen("sample", by_class, "--num", 40, "--output", output)
    assert f"40 images after 8 steps: {output}" in capsys.readouterr().out
    assert sorted(path.name for path in output.iterdir()) == ["apple", "kiwi_ ripe", "plum"]
    assert [len(list((output / name).iterdir())) for name in ("apple", "kiwi_ ripe", "plum")] == [
        14, 13, 13,
    ]  # fmt: skip
    expected = to_uint8(load_run(by_class).sample(40))
    for number in range(40):
        name = ("apple", "kiwi_ ripe", "plum")[number % 3]
        with Image.open(output / name / f"{number:06d}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), expected[number])


def test_what_was_drawn_can_be_trained_on(by_class, tmp_path):
    for output in (tmp_path / "samples", tmp_path / "samples.npz"):
        jaxgen("sample", by_class, "--num", 30, "--output", output)
        parts = [load(output, split) for split in ("train", "test")]
        assert sum(len(batch.label) for batch in parts) == 30
        assert set(parts[0].label.tolist()) == {0, 1, 2}


def test_an_npz_file_holds_images_labels_and_names(by_class, tmp_path):
    path = tmp_path / "new" / "samples.npz"
    classes = ["--classes", "plum", "apple"]
    jaxgen("sample", by_class, "--num", 5, "--output", path, "--seed", 3, *classes)
    with np.load(path) as arrays:
        assert arrays["label"].tolist() == [2, 0, 2, 0, 2]
        assert arrays["class_names"].tolist() == ["apple", "kiwi: ripe", "plum"]
        np.testing.assert_array_equal(
            arrays["image"], to_uint8(load_run(by_class).sample([2, 0, 2, 0, 2], seed=3))
        )


def test_the_seed_decides(by_class, tmp_path):
    images = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.npz"
        jaxgen("sample", by_class, "--num", 4, "--output", path, "--seed", seed)
        images.append(np.load(path)["image"])
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


@pytest.mark.parametrize(
    ("classes", "num", "rows", "columns"),
    [([], 8, 3, 3), (["plum"], 5, 1, 5), (["plum", "apple", "plum"], 5, 2, 3)],
)
def test_a_grid_has_a_row_for_each_class(by_class, tmp_path, classes, num, rows, columns):
    path = tmp_path / "grid.PNG"
    options = ["--classes", *classes] if classes else []
    jaxgen("sample", by_class, "--num", num, "--output", path, *options)
    with Image.open(path) as image:
        assert image.height == rows * 20 - 4
        assert image.width > columns * 20 - 4 + 20  # and the names


def test_a_model_without_classes_and_a_member(members, tmp_path, capsys):
    assert "is a population: choose a member" in refuse_jaxgen(
        capsys, "sample", members, "--output", tmp_path / "all"
    )
    images = []
    for member in (0, 1):
        output = tmp_path / str(member)
        jaxgen("sample", members, "--num", 6, "--output", output, "--member", member)
        files = sorted(output.iterdir())
        assert [path.name for path in files] == [f"{number:06d}.png" for number in range(6)]
        images.append(np.stack([np.asarray(Image.open(path)) for path in files]))
    assert images[0].shape == (6, 8, 8)
    assert (images[0] != images[1]).any()
    jaxgen("sample", members, "--num", 7, "--output", tmp_path / "grid.png", "--member", 0)
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (3 * 20 - 4, 3 * 20 - 4)
    jaxgen("sample", members, "--num", 7, "--output", tmp_path / "a.npz", "--member", 0)
    assert np.load(tmp_path / "a.npz").files == ["image"]
    message = refuse_jaxgen(
        capsys, "sample", members, "--member", 0, "--classes", "plum", "--output", tmp_path / "b"
    )
    assert "draws no particular class: omit --classes" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "aple"], "has no class 'aple': choose apple"),
        (["--classes", "x"], "has no class 'x': choose apple or kiwi: ripe or plum"),
        (["--num", 0], "--num must be positive, but is 0"),
        (["--member", 0], "is a single run: it has no members"),
        (["--checkpoint", 77], "holds no checkpoint of step 77"),
        (["--seed", -1], "seed must be from 0 to 4294967295, but is -1"),
        (["--seed", 2**32], "seed must be from 0 to 4294967295, but is 4294967296"),
    ],
)
def test_what_cannot_be_drawn_is_named(by_class, tmp_path, capsys, options, message):
    output = tmp_path / "out"
    assert message in refuse_jaxgen(capsys, "sample", by_class, "--output", output, *options)
    assert not output.exists()


@pytest.mark.parametrize("name", ["full", "file.npz", "file.png"])
def test_what_exists_is_not_overwritten(by_class, tmp_path, capsys, name):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    (tmp_path / "file.npz").touch()
    (tmp_path / "file.png").touch()
    message = refuse_jaxgen(capsys, "sample", by_class, "--output", tmp_path / name)
    assert f"{name} already exists: choose another --output" in message


def test_an_empty_folder_is_filled_and_other_files_are_refused(by_class, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    jaxgen("sample", by_class, "--num", 3, "--output", tmp_path / "empty")
    assert len(list((tmp_path / "empty").rglob("*.png"))) == 3
    message = refuse_jaxgen(capsys, "sample", by_class, "--output", tmp_path / "a.jpg")
    assert "a.jpg cannot be written: give a folder, an .npz or a .png file" in message


def test_the_names_of_classes_never_leave_the_folder(by_class, tmp_path, monkeypatch):
    config = by_class / "config.json"
    contents = config.read_text()
    record = json.loads(contents)
    record["facts"]["class_names"] = ["../../evil", "a/b", "a:b"]
    del record["digest"]  # altered by hand
    config.write_text(json.dumps(record))
    try:
        jaxgen("sample", by_class, "--num", 3, "--output", tmp_path / "out")
    finally:
        config.write_text(contents)
    found = sorted(path.relative_to(tmp_path).parts for path in tmp_path.rglob("*.png"))
    assert [parts[1] for parts in found] == ["0__.._evil", "1_a_b", "2_a_b"]
    assert all(len(parts) == 3 for parts in found)
