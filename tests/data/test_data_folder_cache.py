"""Folders of images that are read once: the cache, and what invalidates it."""

import os
import shutil
import time

import numpy as np
import photos
import pytest

from jaxgen.data import Preparation, class_names, examples, find, load, read
from jaxgen.data import files as image_files


def names(folder):
    return class_names(find(folder, Preparation(8)))


def splits(folder, image_size=24, **options):
    return [load(folder, split, image_size=image_size, **options) for split in ("train", "test")]


def contents(batch):
    return [image.tobytes() for image in np.asarray(batch.image)]


def count_reads(monkeypatch):
    """The paths of all files that are decoded from here on."""
    decoded, decode = [], image_files.prepare_file

    def prepare(contents, preparation):
        decoded.append(contents)
        return decode(contents, preparation)

    monkeypatch.setattr(image_files, "prepare_file", prepare)
    return decoded


def test_a_folder_is_read_once_until_a_file_changes(tmp_path, monkeypatch):
    photos.write_classes(tmp_path, cat=6, dog=6)
    reads = count_reads(monkeypatch)
    first = splits(tmp_path)
    assert len(reads) == 12
    again = splits(tmp_path)
    assert len(reads) == 12
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)

    photos.noise(99).save(tmp_path / "cat" / "0.png")
    later = time.time() + 5
    os.utime(tmp_path / "cat" / "0.png", (later, later))
    changed = splits(tmp_path)
    assert len(reads) == 24
    assert np.asarray(photos.noise(99)).tobytes() in contents(changed[0]) + contents(changed[1])

    photos.noise(100).save(tmp_path / "dog" / "new.png")
    assert sum(len(batch.label) for batch in splits(tmp_path)) == 13
    (tmp_path / "dog" / "new.png").unlink()
    (tmp_path / "dog" / "1.png").unlink()
    assert sum(len(batch.label) for batch in splits(tmp_path)) == 11

    before = len(reads)
    (tmp_path / "dog").rename(tmp_path / "wolf")
    splits(tmp_path)
    assert names(tmp_path) == ("cat", "wolf")
    assert len(reads) > before


def test_each_way_of_preparing_has_a_cache_of_its_own(tmp_path, monkeypatch):
    photos.write_classes(tmp_path, cat=3, dog=3)
    reads = count_reads(monkeypatch)
    ways = [{}, {"image_size": 8}, {"channels": 1}, {"resize": "pad"}, {"skip_broken": True}]
    for _ in range(2):
        for way in ways:
            splits(tmp_path, **way)
        assert len(reads) == 6 * len(ways)


def test_mapped_images_are_those_of_the_set(tmp_path):
    photos.write_classes(tmp_path, cat=6, dog=6)
    mapped = load(tmp_path, "train", image_size=24, mapped=True)
    assert isinstance(mapped.image, np.memmap)
    np.testing.assert_array_equal(mapped.image, splits(tmp_path)[0].image)


def test_an_interrupted_reading_harms_nothing(tmp_path, monkeypatch):
    photos.write_classes(tmp_path, cat=6, dog=6)
    expected = splits(tmp_path, resize="crop")
    shutil.rmtree(tmp_path / ".jaxgen")
    monkeypatch.setattr(examples, "CHUNK", 2)

    def interrupt(what, done, total):
        if what == "reading" and done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, "train", image_size=24, report=interrupt)
    assert not list((tmp_path / ".jaxgen").rglob("*train*"))
    assert not list((tmp_path / ".jaxgen").rglob("*.tmp"))
    for one, other in zip(splits(tmp_path), expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_progress_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "CHUNK", 5)
    photos.write(tmp_path, [photos.noise(i) for i in range(12)])
    reported = []
    load(tmp_path, "train", image_size=8, report=lambda *args: reported.append(args))
    assert [args for args in reported if args[0] == "comparing"] == [
        ("comparing", 5, 12),
        ("comparing", 10, 12),
        ("comparing", 12, 12),
    ]
    assert max(done for what, done, _ in reported if what == "reading") >= 10


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    photos.write_classes(tmp_path, cat=6, dog=6)
    expected = splits(tmp_path)
    shutil.rmtree(tmp_path / ".jaxgen")
    monkeypatch.setattr(os, "fsync", _refuse)
    reads = count_reads(monkeypatch)
    source = find(tmp_path, Preparation(24))
    with pytest.warns(UserWarning, match=r"cannot be cached in .*\.jaxgen \(No space left"):
        again = [read(source, split) for split in ("train", "test")]
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.label, other.label)
    once = len(reads)
    read(source, "train")
    assert class_names(source) == ("cat", "dog")
    assert len(reads) == once  # they are kept in memory


def _refuse(_):
    raise OSError(28, "No space left on device")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    photos.write(tmp_path, [photos.noise(i) for i in range(4)])
    (tmp_path / "3.png").unlink()
    (tmp_path / "3.png").symlink_to(tmp_path / "elsewhere.png")
    assert sum(len(batch.label) for batch in splits(tmp_path)) == 3  # a link to nothing
