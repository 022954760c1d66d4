import gzip
import hashlib
import shutil
import socket
import sys
import time
import urllib.request

import idx
import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging

from jaxgen.data import examples, load, mnist
from jaxgen.data.mnist import IMAGES, LABELS, PREFIXES
from jaxgen.errors import InputError


@pytest.mark.parametrize("split", ["train", "test"])
def test_prepared_set_is_what_the_originals_hold(split, tmp_path, originals, monkeypatch):
    monkeypatch.setattr(examples, "CHUNK", 8)  # several chunks, the last one not full
    batch = load("mnist", split, data_dir=tmp_path, manual_dir=originals.folder)
    assert batch.image.shape == (len(originals.label[split]), 28, 28, 1)
    assert (batch.image.dtype, batch.label.dtype) == (np.uint8, np.int32)
    assert idx.pairs(*batch) == idx.pairs(originals.image[split], originals.label[split])
    assert "tensorflow" not in sys.modules


def test_prepared_set_is_the_stock_builders_to_tfds(tmp_path, originals):
    load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    builder = tfds.builder("mnist", data_dir=tmp_path)
    assert builder.is_prepared()
    assert builder.info.splits["train"].num_examples == 37
    assert builder.info.supervised_keys == ("image", "label")


def test_all_three_sets_have_a_builder_with_known_originals(tmp_path):
    for name in mnist.BUILDERS:
        builder = mnist._builder(name, tmp_path, None)
        assert (builder.name, str(builder.version)) == (name, "3.0.1")
        expected = {builder.URL + p + f for p in PREFIXES.values() for f in (IMAGES, LABELS)}
        assert set(builder.url_infos) == expected
        assert all(len(info.checksum) == 64 for info in builder.url_infos.values())


def test_download(tmp_path, server, originals):
    batch = load("mnist", "test", data_dir=tmp_path)
    assert idx.pairs(*batch) == idx.pairs(originals.image["test"], originals.label["test"])


def test_damaged_download(tmp_path, server, originals):
    (originals.folder / ("t10k" + LABELS)).write_bytes(b"something else")
    with pytest.raises(InputError, match=r"mnist could not be downloaded.*checksum") as error:
        load("mnist", "test", data_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_file_gone_from_the_server(tmp_path, server, originals):
    (originals.folder / ("train" + IMAGES)).unlink()
    with pytest.raises(InputError, match="mnist could not be downloaded"):
        load("mnist", "test", data_dir=tmp_path)


def test_offline_and_unprepared(tmp_path, originals):
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"cannot be reached.*--manual-dir.*--data-dir.*mnist_5k"):
        load("mnist", "train", data_dir=tmp_path / "sets")
    assert time.perf_counter() - start < 5
    assert not (tmp_path / "sets").exists()


def test_a_silent_server_is_not_waited_for(originals, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(tfds.image_classification.MNIST, "URL", url)
        start = time.perf_counter()
        assert not mnist.reachable("mnist", seconds=0.2)
        assert time.perf_counter() - start < 2


def test_a_slow_name_server_is_not_waited_for(originals, monkeypatch):
    def search(*_, **__):
        time.sleep(2)
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", search)
    start = time.perf_counter()
    assert not mnist.reachable("mnist", seconds=0.2)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("damage", ["changed", "truncated", "empty"])
def test_damaged_original_is_named_with_its_checksum(damage, tmp_path, originals):
    path = originals.folder / ("train" + IMAGES)
    contents = bytearray(path.read_bytes())
    contents[100] ^= 1
    path.write_bytes({"changed": contents, "truncated": contents[:50], "empty": b""}[damage])
    with pytest.raises(
        InputError, match=rf"train{IMAGES} is damaged .*sha256.*download .*train{IMAGES} again"
    ) as error:
        load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "mnist").exists()


def test_originals_that_were_compressed_again_are_recognized(tmp_path, originals, monkeypatch):
    """Like those of Debian's package, whose gzip headers have no names and other times."""
    expected = load("mnist", "test", data_dir=tmp_path / "theirs", manual_dir=originals.folder)
    digests = {}
    for path in originals.folder.iterdir():
        content = gzip.decompress(path.read_bytes())
        digests[path.name.partition("-idx")[0]] = hashlib.sha256(content).hexdigest()
        path.write_bytes(gzip.compress(content, 1, mtime=1))
    with pytest.raises(InputError, match="is damaged or belongs to another set"):
        load("mnist", "test", data_dir=tmp_path / "ours", manual_dir=originals.folder)
    monkeypatch.setitem(mnist.CONTENTS, "mnist", digests)
    found = load("mnist", "test", data_dir=tmp_path / "ours", manual_dir=originals.folder)
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.label, expected.label)


def test_missing_original_is_named(tmp_path, originals):
    (originals.folder / ("t10k" + LABELS)).unlink()
    with pytest.raises(InputError, match=rf"t10k{LABELS} is missing"):
        load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    with pytest.raises(InputError, match="is missing"):
        load("mnist", "train", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")


def test_data_dir_that_cannot_be_written(tmp_path, originals):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be prepared in .*file.*another --data-dir"):
        load("mnist", "train", data_dir=tmp_path / "file" / "sets", manual_dir=originals.folder)


def test_no_permission_to_prepare(tmp_path, originals, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(tfds.image_classification.MNIST, "download_and_prepare", refuse)
    with pytest.raises(InputError, match=r"Permission denied.*another --data-dir"):
        load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)


def test_another_process_was_faster(tmp_path, originals, monkeypatch):
    load("mnist", "test", data_dir=tmp_path / "theirs", manual_dir=originals.folder)

    def too_late(self, **_):
        shutil.copytree(tmp_path / "theirs", tmp_path / "ours")
        raise OSError("Directory not empty")

    monkeypatch.setattr(tfds.image_classification.MNIST, "download_and_prepare", too_late)
    assert (
        len(load("mnist", "test", data_dir=tmp_path / "ours", manual_dir=originals.folder).label)
        == 11
    )


def test_nothing_is_printed_and_tfds_speaks_again_after(tmp_path, originals, capfd):
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity(verbosity)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_real_mnist(tmp_path, mnist_originals):
    firsts = {"train": [4, 1, 0, 7, 8, 1, 2, 7, 1, 6], "test": [2, 0, 4, 8, 7, 6, 0, 6, 3, 1]}
    for split, prefix in PREFIXES.items():
        batch = load("mnist", split, data_dir=tmp_path, manual_dir=mnist_originals)
        image, label = (idx.decode(mnist_originals / (prefix + end)) for end in (IMAGES, LABELS))
        assert idx.pairs(*batch) == idx.pairs(image, label)
        assert batch.label[:10].tolist() == firsts[split]  # as from the stock builder
        again = load("mnist", split, data_dir=tmp_path)
        np.testing.assert_array_equal(again.image, batch.image)
        np.testing.assert_array_equal(again.label, batch.label)
