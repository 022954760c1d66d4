import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import Preparation, choose, class_names, examples, find, load, tfds
from jaxgen.data.named import default_data_dir
from jaxgen.errors import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size must be positive, but is 0"),
        ({"channels": 2}, "channels must be 1 or 3, but is 2"),
        ({"resize": "zoom"}, "resize must be one of crop, pad, stretch, but is 'zoom'"),
    ],
)
def test_what_no_image_is_brought_to(options, message):
    preparation = Preparation(**({"size": options.pop("image_size", None)} | options))
    with pytest.raises(InputError, match=message):
        find("mnist_5k", preparation)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "Did you mean mnist"),
        ("MNIST", "Did you mean .*mnist"),
        ("mnist5k", "Did you mean mnist_5k"),
        ("qqqqqqq", "no data set 'qqqqqqq', and no folder or file .* http.* lists the others"),
        ("", "no data set ''"),
        ("mnist:.", "no data set 'mnist:.'"),
        ("mnist/..", r"mnist/\.\. does not exist: give a folder of images"),
        (
            "../mnits",
            r"/\.\./mnits does not exist: give a folder of images, an .npz, .npy or IDX file",
        ),
        ("/mnits", r"^/mnits does not exist"),
        ("mnits.npz", r"/mnits\.npz does not exist"),
        ("photos/cats", "no data set 'photos/cats', and no folder or file of that name"),
        ("huggingface:mnist", "no data set"),
        ("cifar10", "cifar10 is not prepared in .*tfds build cifar10 .*_format=array_record"),
        ("mnist:1.0.0", "mnist:1.0.0 is not prepared"),
    ],
)
def test_unavailable_sets(name, message, tmp_path):
    start = time.perf_counter()
    with pytest.raises(InputError, match=message) as error:
        load(name, "train", data_dir=tmp_path)
    assert re.fullmatch(r"\S.*\.", str(error.value))  # a sentence in one line
    assert time.perf_counter() - start < 5


def test_a_set_named_is_never_replaced(tmp_path, originals):
    assert choose("mnist", tmp_path) == ("mnist", "")
    assert choose("anything", tmp_path) == ("anything", "")


def test_default_is_mnist_where_its_files_are_given(tmp_path, originals):
    assert choose(None, tmp_path, originals.folder) == ("mnist", "")


def test_default_is_mnist_where_it_is_prepared(tmp_path, originals):
    load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    assert choose(None, tmp_path) == ("mnist", "")


def test_default_is_mnist_where_its_server_answers(tmp_path, server):
    assert choose(None, tmp_path) == ("mnist", "")


def test_default_is_the_builtin_set_offline_with_a_notice(tmp_path, originals):
    name, notice = choose(None, tmp_path)
    assert name == "mnist_5k"
    assert str(tmp_path) in notice
    assert "--manual-dir" in notice


def test_default_is_the_builtin_set_where_mnist_is_unreadable(tmp_path, tfrecord):
    name, notice = choose(None, tfrecord)
    assert name == "mnist_5k"
    assert "no ArrayRecord files" in notice
    assert "--data-dir" in notice
    assert "--manual-dir" not in notice  # which is not used where a set is prepared


def test_a_set_prepared_for_tensorflow_only(tfrecord):
    with pytest.raises(InputError, match=r"no ArrayRecord files.*TensorFlow.*--data-dir"):
        load("mnist", "train", data_dir=tfrecord)


def test_a_set_of_several_variants(tmp_path):
    for config in ("letters/3.0.0", "letters/3.1.0", "digits/3.1.0"):
        folder = tmp_path / "emnist" / config
        folder.mkdir(parents=True)
        (folder / "features.json").touch()
    with pytest.raises(InputError, match=r"choose emnist/digits or emnist/letters\.$"):
        load("emnist", "train", data_dir=tmp_path)


def test_the_newest_whole_version_is_found(tmp_path):
    for version in ("3.0.1", "10.0.0", "9.9.9", "incomplete.ABC_11.0.0", "12.0.0"):
        (tmp_path / "mnist" / version).mkdir(parents=True)
        if version != "12.0.0":
            (tmp_path / "mnist" / version / "features.json").touch()
    assert tfds.find("mnist", tmp_path) == tmp_path / "mnist" / "10.0.0"
    assert tfds.find("mnist:3.0.1", tmp_path) == tmp_path / "mnist" / "3.0.1"
    assert tfds.find("mnist:3.0.2", tmp_path) is None
    assert tfds.find("kmnist", tmp_path) is None


def test_default_data_dir_is_that_of_tfds(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    assert default_data_dir() == Path("~/elsewhere").expanduser()
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert default_data_dir() == Path("~/tensorflow_datasets").expanduser()


def test_mapped_images_are_those_of_the_set(tmp_path, originals):
    first = load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder, mapped=True)
    again = load("mnist", "train", data_dir=tmp_path, mapped=True)
    whole = load("mnist", "train", data_dir=tmp_path)
    for batch in (first, again):
        assert isinstance(batch.image, np.memmap)
        np.testing.assert_array_equal(batch.image, whole.image)
        np.testing.assert_array_equal(batch.label, whole.label)
    assert not isinstance(whole.image, np.memmap)


@pytest.mark.parametrize(("image_size", "mapped"), [(None, False), (None, True), (32, True)])
def test_a_set_that_cannot_be_cached_stays_in_memory(
    tmp_path, originals, monkeypatch, image_size, mapped
):
    load_train = partial(load, "mnist", "train", image_size=image_size, data_dir=tmp_path)
    whole = load_train(manual_dir=originals.folder)
    folder = tmp_path / "mnist" / "3.0.1" / ".jaxgen"
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(examples, "CHUNK", 8)  # several chunks, the last one not full
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(UserWarning, match=f"cannot be cached in {folder} "):
        batch = load_train(mapped=mapped)
    assert not isinstance(batch.image, np.memmap)
    np.testing.assert_array_equal(batch.image, whole.image)
    np.testing.assert_array_equal(batch.label, whole.label)


def refuse(_):
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize("mapped", [False, True], ids=["whole", "mapped"])
def test_images_of_another_size_are_centered(tmp_path, originals, mapped):
    """Both when they are read from the set and from its cache."""
    plain = load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    for _ in range(2):
        batch = load("mnist", "test", image_size=32, data_dir=tmp_path, mapped=mapped)
        assert isinstance(batch.image, np.memmap) == mapped
        assert batch.image.shape == (len(plain.label), 32, 32, 1)
        np.testing.assert_array_equal(batch.image[:, 2:30, 2:30], plain.image)
        assert np.count_nonzero(batch.image) == np.count_nonzero(plain.image)
        np.testing.assert_array_equal(batch.label, plain.label)


def test_the_builtin_set_in_another_size():
    plain, padded = load("mnist_5k", "test"), load("mnist_5k", "test", image_size=33)
    assert padded.image.shape == (1000, 33, 33, 1)
    np.testing.assert_array_equal(padded.image[:, 2:30, 2:30], plain.image)
    assert np.count_nonzero(padded.image) == np.count_nonzero(plain.image)
    np.testing.assert_array_equal(padded.label, plain.label)


def test_each_size_is_read_once_and_cached(tmp_path, originals, monkeypatch):
    shapes = {None: (28, 28, 1), 32: (32, 32, 1), 40: (40, 40, 1)}
    for size in shapes:
        load("mnist", "test", image_size=size, data_dir=tmp_path, manual_dir=originals.folder)
    monkeypatch.setattr(tfds, "prepare_arrays", None)  # from here on, only the caches are left
    for size, shape in shapes.items():
        assert load("mnist", "test", image_size=size, data_dir=tmp_path).image.shape[1:] == shape


@pytest.mark.parametrize("name", ["mnist", "mnist_5k"])
def test_a_set_of_larger_images_is_refused_and_not_cached(name, tmp_path, originals):
    folders = {"data_dir": tmp_path, "manual_dir": originals.folder}
    message = r"^Images of 28x28 .* do not fit --image-size 27: .* at least 28, or .* --resize crop"
    with pytest.raises(InputError, match=message):
        load(name, "test", image_size=27, **folders)
    assert not list(tmp_path.rglob(".jaxgen/*"))
    assert load(name, "test", image_size=28, **folders).image.shape[1:] == (28, 28, 1)


def test_class_names_of_mnist_and_the_builtin_set(tmp_path, originals):
    """MNIST's classes have no names in TFDS."""
    load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    for name in ("mnist_5k", "mnist"):
        source = find(name, Preparation(), data_dir=tmp_path)
        assert class_names(source) == tuple("0123456789")


def test_the_builtin_set_has_nothing_to_map():
    mapped, whole = load("mnist_5k", "test", mapped=True), load("mnist_5k", "test")
    np.testing.assert_array_equal(mapped.image, whole.image)
    np.testing.assert_array_equal(mapped.label, whole.label)


def test_a_cached_set_is_read_without_tfds(tmp_path, originals):
    load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    program = (
        "import pathlib, sys, jaxgen.data\n"
        "train = jaxgen.data.load('mnist', 'train', data_dir=pathlib.Path(sys.argv[1]))\n"
        "assert train.image.shape == (37, 28, 28, 1)\n"
        "assert jaxgen.data.load('mnist_5k', 'test').label.shape == (1000,)\n"
        "assert not {'tensorflow', 'tensorflow_datasets', 'grain'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, tmp_path], check=True)


@pytest.fixture
def tfrecord(tmp_path, originals):
    """A data_dir where MNIST is prepared, but not as ArrayRecord."""
    load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    for path in (tmp_path / "mnist" / "3.0.1").glob("*.array_record*"):
        path.rename(str(path).replace("array_record", "tfrecord"))
    return tmp_path
