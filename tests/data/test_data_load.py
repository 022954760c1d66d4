import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import choose, load, pad_to, records
from jaxgen.data.load import default_data_dir
from jaxgen.errors import InputError
from jaxgen.types import Batch


def batch(*shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return Batch(image, np.zeros(shape[0], np.int32))  # pyright: ignore


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 28, 28, 1), 32), ((2, 5, 8, 3), 8), ((2, 5, 5, 1), 8), ((1, 8, 8, 1), 8)],
)
def test_padding_is_lossless_and_centred(shape, size):
    before = batch(*shape)
    image, label = pad_to(before, size)
    assert image.shape == (shape[0], size, size, shape[-1])
    assert image.dtype == np.uint8
    top, left = (size - shape[1]) // 2, (size - shape[2]) // 2
    middle = image[:, top : top + shape[1], left : left + shape[2]]
    np.testing.assert_array_equal(middle, before.image)
    assert image.sum(dtype=int) == before.image.sum(dtype=int)  # the rest is zero
    assert label is before.label


@pytest.mark.parametrize("shape", [(1, 33, 32, 1), (1, 32, 33, 1)])
def test_larger_images_do_not_fit(shape):
    with pytest.raises(InputError, match=rf"{shape[1]}x{shape[2]} pixels do not fit .* 32x32"):
        pad_to(batch(*shape), 32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "Did you mean mnist"),
        ("MNIST", "Did you mean .*mnist"),
        ("mnist5k", "Did you mean mnist_5k"),
        ("qqqqqqq", "no data set 'qqqqqqq'. Built in: mnist_5k"),
        ("", "no data set ''"),
        ("../mnist", "no data set"),
        ("/mnist", "no data set"),
        ("huggingface:mnist", "no data set"),
        ("cifar10", "cifar10 is not prepared in .*tfds build cifar10 --file_format=array_record"),
        ("mnist:1.0.0", "mnist:1.0.0 is not prepared"),
    ],
)
def test_sets_that_cannot_be_had(name, message, tmp_path):
    start = time.perf_counter()
    with pytest.raises(InputError, match=message) as error:
        load(name, "train", tmp_path)
    assert "\n" not in str(error.value)
    assert time.perf_counter() - start < 5


def test_a_set_named_is_never_replaced(tmp_path, originals):
    assert choose("mnist", tmp_path) == ("mnist", "")
    assert choose("anything", tmp_path) == ("anything", "")


def test_default_is_mnist_where_its_files_are_given(tmp_path, originals):
    assert choose(None, tmp_path, originals.folder) == ("mnist", "")


def test_default_is_mnist_where_it_is_prepared(tmp_path, originals):
    load("mnist", "test", tmp_path, originals.folder)
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
    assert "without ArrayRecord" in notice


def test_a_set_prepared_for_tensorflow_only(tfrecord):
    with pytest.raises(InputError, match=r"no ArrayRecord files.*TensorFlow.*--data-dir"):
        load("mnist", "train", tfrecord)


def test_a_set_of_several_variants(tmp_path):
    for config in ("letters", "digits"):
        folder = tmp_path / "emnist" / config / "3.1.0"
        folder.mkdir(parents=True)
        (folder / "features.json").touch()
    with pytest.raises(InputError, match="name one: emnist/digits, emnist/letters"):
        load("emnist", "train", tmp_path)


def test_the_newest_whole_version_is_found(tmp_path):
    for version in ("3.0.1", "10.0.0", "9.9.9", "incomplete.ABC_11.0.0", "12.0.0"):
        (tmp_path / "mnist" / version).mkdir(parents=True)
        if version != "12.0.0":
            (tmp_path / "mnist" / version / "features.json").touch()
    assert records.find("mnist", tmp_path) == tmp_path / "mnist" / "10.0.0"
    assert records.find("mnist:3.0.1", tmp_path) == tmp_path / "mnist" / "3.0.1"
    assert records.find("mnist:3.0.2", tmp_path) is None
    assert records.find("kmnist", tmp_path) is None


def test_default_data_dir_is_that_of_tfds(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    assert default_data_dir() == Path("~/elsewhere").expanduser()
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert default_data_dir() == Path("~/tensorflow_datasets").expanduser()


def test_mapped_images_are_those_of_the_set(tmp_path, originals):
    first = load("mnist", "train", tmp_path, originals.folder, mapped=True)
    again = load("mnist", "train", tmp_path, mapped=True)
    whole = load("mnist", "train", tmp_path)
    for batch in (first, again):
        assert isinstance(batch.image, np.memmap)
        np.testing.assert_array_equal(batch.image, whole.image)
        np.testing.assert_array_equal(batch.label, whole.label)
    assert not isinstance(whole.image, np.memmap)


@pytest.mark.parametrize("mapped", [False, True])
def test_what_cannot_be_cached_stays_in_memory(tmp_path, originals, monkeypatch, mapped):
    whole = load("mnist", "train", tmp_path, originals.folder)
    (tmp_path / "mnist" / "3.0.1" / "jaxgen-train.npz").unlink()
    monkeypatch.setattr(records, "CHUNK", 8)  # several chunks, the last one not full
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(UserWarning, match=r"jaxgen-train.npz cannot be written"):
        batch = load("mnist", "train", tmp_path, mapped=mapped)
    assert not isinstance(batch.image, np.memmap)
    np.testing.assert_array_equal(batch.image, whole.image)
    np.testing.assert_array_equal(batch.label, whole.label)


def refuse(_):
    raise OSError(30, "Read-only file system")


def test_the_builtin_set_has_nothing_to_map():
    mapped, whole = load("mnist_5k", "test", mapped=True), load("mnist_5k", "test")
    np.testing.assert_array_equal(mapped.image, whole.image)
    np.testing.assert_array_equal(mapped.label, whole.label)


def test_a_cached_set_is_read_without_tfds(tmp_path, originals):
    load("mnist", "train", tmp_path, originals.folder)
    program = (
        "import pathlib, sys, jaxgen.data\n"
        "train = jaxgen.data.load('mnist', 'train', pathlib.Path(sys.argv[1]))\n"
        "assert train.image.shape == (37, 28, 28, 1)\n"
        "assert jaxgen.data.load('mnist_5k', 'test').label.shape == (1000,)\n"
        "assert not {'tensorflow', 'tensorflow_datasets', 'grain'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, tmp_path], check=True)


@pytest.fixture
def tfrecord(tmp_path, originals):
    """A data_dir where MNIST is prepared, but not as ArrayRecord."""
    load("mnist", "test", tmp_path, originals.folder)
    for path in (tmp_path / "mnist" / "3.0.1").glob("*.array_record*"):
        path.rename(str(path).replace("array_record", "tfrecord"))
    return tmp_path
