import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jaxgen.data import cache, load, records

IMAGE = np.arange(4 * 3 * 3 * 1, dtype=np.uint8).reshape(4, 3, 3, 1)
LABEL = np.array([3, 1, 2, 0], np.int32)


@pytest.fixture
def folder(tmp_path):
    """A prepared set as the cache sees it, with its arrays cached."""
    (tmp_path / "features.json").write_text("{}")
    (tmp_path / "set-train.array_record-00000-of-00001").write_bytes(b"records")
    cache.write(tmp_path, "train", (IMAGE, LABEL))
    return tmp_path


def cached(folder):
    arrays = cache.read(folder, "train")
    assert arrays is not None
    return arrays


def test_what_was_written_is_read(folder):
    image, label = cached(folder)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.int32)
    assert cache.read(folder, "test") is None


def test_cache_cut_anywhere_is_not_read(folder):
    path = folder / "jaxgen-train.npz"
    contents = path.read_bytes()
    for length in range(0, len(contents), 7):
        path.write_bytes(contents[:length])
        assert cache.read(folder, "train") is None


def test_cache_with_any_byte_changed_is_sound_or_not_read(folder):
    path = folder / "jaxgen-train.npz"
    contents = bytearray(path.read_bytes())
    assert bytes(IMAGE) in contents
    for i in range(len(contents)):
        changed = contents.copy()
        changed[i] ^= 0xFF
        path.write_bytes(changed)
        arrays = cache.read(folder, "train")
        if arrays is not None:
            np.testing.assert_array_equal(arrays[0], IMAGE)
            np.testing.assert_array_equal(arrays[1], LABEL)


def test_cache_of_another_kind_is_not_read(folder):
    with (folder / "jaxgen-train.npz").open("wb") as file:
        np.save(file, IMAGE)
    assert cache.read(folder, "train") is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"image": IMAGE.astype(np.float32)},
        {"image": IMAGE[..., 0]},
        {"label": LABEL.astype(np.int64)},
        {"label": LABEL[:3]},
        {"image": np.array([object()])},
    ],
)
def test_cache_of_other_arrays_is_not_read(folder, arrays):
    path = folder / "jaxgen-train.npz"
    with np.load(path) as sound:
        arrays = dict(sound) | arrays
    np.savez(path, **arrays)
    assert cache.read(folder, "train") is None


def test_cache_of_an_older_set_is_not_read(folder):
    record = folder / "set-train.array_record-00000-of-00001"
    stat = record.stat()
    record.write_bytes(b"RECORDS")  # of the same size
    os.utime(record, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert cache.read(folder, "train") is None


def test_caching_one_split_leaves_the_other_valid(folder):
    cache.write(folder, "test", (IMAGE[:1], LABEL[:1]))
    assert cache.read(folder, "train") is not None
    assert cache.read(folder, "test") is not None


def test_crash_while_writing_leaves_what_was_there(folder, monkeypatch):
    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.write(folder, "train", (IMAGE[:1], LABEL[:1]))
    image, _ = cached(folder)
    np.testing.assert_array_equal(image, IMAGE)
    assert not list(folder.glob("*.tmp"))


def test_full_disk_warns_and_leaves_nothing(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="every start reads .* anew: .*No space left"):
        cache.write(folder, "test", (IMAGE, LABEL))
    assert cache.read(folder, "test") is None
    assert not list(folder.glob("*.tmp"))


def test_many_writers_and_readers(folder):
    def write_and_read(_):
        cache.write(folder, "train", (IMAGE, LABEL))
        return cached(folder)

    with ThreadPoolExecutor(8) as pool:
        for image, label in pool.map(write_and_read, range(40)):
            np.testing.assert_array_equal(image, IMAGE)
            np.testing.assert_array_equal(label, LABEL)
    assert not list(folder.glob("*.tmp"))


def test_load_caches_and_rebuilds_a_bad_cache(tmp_path, originals, monkeypatch):
    first = load("mnist", "train", tmp_path, originals.folder)
    path = tmp_path / "mnist" / "3.0.1" / "jaxgen-train.npz"
    contents = path.read_bytes()
    path.write_bytes(contents[:1000])
    second = load("mnist", "train", tmp_path)
    assert path.read_bytes() == contents
    monkeypatch.setattr(records, "read", None)  # from here on, only the cache is left
    third = load("mnist", "train", tmp_path)
    for batch in (second, third):
        np.testing.assert_array_equal(batch.image, first.image)
        np.testing.assert_array_equal(batch.label, first.label)
