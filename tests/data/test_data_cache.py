import os
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import cache, load, tfds
from jaxgen.errors import InputError

IMAGE = np.arange(4 * 3 * 3 * 1, dtype=np.uint8).reshape(4, 3, 3, 1)
LABEL = np.array([3, 1, 2, 0], np.int32)


def in_chunks(image, label, size=3):
    """The examples as if they were read, `size` at a time."""
    starts = range(0, len(label), size)
    return ((image[start : start + size], label[start : start + size]) for start in starts)


def place_of(folder):
    """The place of a set as its files are now."""
    files = [(path.name, path.stat()) for path in folder.iterdir() if path.is_file()]
    return cache.place(folder, "options", files)


@pytest.fixture
def folder(tmp_path):
    """A prepared set as the cache sees it."""
    (tmp_path / "features.json").write_text("{}")
    (tmp_path / "set-train.array_record-00000-of-00001").write_bytes(b"records")
    return tmp_path


@pytest.fixture
def place(folder):
    """The set with its training split in the cache."""
    place = place_of(folder)
    cache.write(place, "train", in_chunks(IMAGE, LABEL))
    return place


@pytest.fixture
def path(place):
    """The file of the cache."""
    return place.of("train")[0]


def cached(place, mapped=False):
    arrays = cache.read(place, "train", mapped)
    assert arrays is not None
    return arrays


@pytest.fixture(params=[False, True], ids=["unmapped", "mapped"])
def mapped(request):
    return request.param


def test_what_was_written_is_read(place, mapped):
    image, label = cached(place, mapped)
    assert isinstance(image, np.memmap) == mapped
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.int32)


def test_a_cache_that_was_not_written_is_not_read(place, mapped):
    assert cache.read(place, "test", mapped) is None


def test_each_split_and_preparation_has_a_cache_of_its_own(folder):
    """A split may be named like another with a size."""
    splits, names = ("train", "test", "train-32", "train32"), ("own", "32-1-crop", "32-1-pad")
    paths = {
        path
        for name in names
        for split in splits
        for path in cache.place(folder, name, []).of(split)
    }
    assert len(paths) == 2 * len(splits) * len(names)
    assert len({path.parent for path in paths}) == 2


def test_a_mapped_image_is_the_file_and_cannot_be_changed(place, path):
    image, _ = cached(place, mapped=True)
    assert image.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0
    contents = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(contents.index(bytes(IMAGE)))
        file.write(bytes(reversed(bytes(IMAGE))))
    assert bytes(image) == bytes(reversed(bytes(IMAGE)))


def test_a_mapped_image_outlives_its_replacement(place):
    image, _ = cached(place, mapped=True)
    cache.write(place, "train", in_chunks(IMAGE[:1], LABEL[:1]))
    np.testing.assert_array_equal(image, IMAGE)


def test_cache_cut_anywhere_is_not_read(place, path, mapped):
    contents = path.read_bytes()
    for length in range(0, len(contents), 7):
        path.write_bytes(contents[:length])
        assert cache.read(place, "train", mapped) is None


def test_cache_with_any_byte_changed_is_sound_or_not_read(place, path, mapped):
    contents = path.read_bytes()
    pixels = contents.index(bytes(IMAGE))
    for i in range(len(contents)):
        if mapped and pixels <= i < pixels + IMAGE.size:
            continue  # not checked, which would mean reading them all
        changed = bytearray(contents)
        changed[i] ^= 0xFF
        path.write_bytes(changed)
        arrays = cache.read(place, "train", mapped)
        if arrays is not None:
            np.testing.assert_array_equal(arrays[0], IMAGE)
            np.testing.assert_array_equal(arrays[1], LABEL)


def test_cache_of_another_kind_is_not_read(place, path, mapped):
    with path.open("wb") as file:
        np.save(file, IMAGE)
    assert cache.read(place, "train", mapped) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"shape": (4, 3, 3)},
        {"shape": (4, 3, 3, 2)},
        {"shape": (3, 3, 3, 1)},
        {"label": LABEL.astype(np.int64)},
        {"label": LABEL[:3]},
        {"label": np.array([object()])},
        {"source": "another"},
    ],
)
def test_cache_of_other_arrays_is_not_read(place, path, arrays, mapped):
    sound = {"label": LABEL, "shape": IMAGE.shape, "source": place.fingerprint}
    for contents, is_sound in ((sound, True), (sound | arrays, False)):
        np.savez(path, **contents)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(cache.IMAGE, cache.START + IMAGE.tobytes())
        assert (cache.read(place, "train", mapped) is not None) == is_sound


@pytest.mark.parametrize(
    ("contents", "later"), [(b"RECORDS", 1), (b"more records", 0)], ids=["time", "size"]
)
def test_cache_of_an_older_set_is_not_read(folder, place, mapped, contents, later):
    record = folder / "set-train.array_record-00000-of-00001"
    stat = record.stat()
    record.write_bytes(contents)
    os.utime(record, ns=(stat.st_atime_ns, stat.st_mtime_ns + later))
    assert cache.read(place_of(folder), "train", mapped) is None


def test_writing_one_cache_leaves_the_others_valid(folder, place):
    cache.write(place_of(folder), "test", in_chunks(IMAGE[:1], LABEL[:1]))
    np.testing.assert_array_equal(cached(place_of(folder))[0], IMAGE)


def test_crash_while_writing_leaves_what_was_there(place, path, monkeypatch):
    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.write(place, "train", in_chunks(IMAGE[:1], LABEL[:1]))
    image, _ = cached(place)
    np.testing.assert_array_equal(image, IMAGE)
    assert not list(path.parent.glob("*.tmp"))


def test_what_a_killed_writer_left_is_removed_after_a_day(place, path):
    old, new = path.with_name("old.tmp"), path.with_name("new.tmp")
    old.touch()
    new.touch()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    cache.write(place, "train", in_chunks(IMAGE, LABEL))
    assert not old.exists()
    assert new.exists()


def test_full_disk_warns_and_leaves_nothing(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    place = place_of(folder)
    with pytest.warns(UserWarning, match=r"cannot be cached in .*No space left.* every start will"):
        cache.write(place, "test", in_chunks(IMAGE, LABEL))
    assert cache.read(place, "test") is None
    assert not list(folder.rglob("*.tmp"))


def unwritable(monkeypatch, *folders):
    """Let folders refuse new ones, as read-only ones would; tests may run as root."""
    mkdir = Path.mkdir

    def refuse(self, *args, **options):
        if any(self.is_relative_to(folder) for folder in folders):
            raise OSError(30, "Read-only file system", str(self))
        mkdir(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)


def test_a_read_only_set_is_cached_for_its_user(folder, monkeypatch, mapped):
    unwritable(monkeypatch, folder)
    cache.write(place_of(folder), "train", in_chunks(IMAGE, LABEL))
    image, label = cached(place_of(folder), mapped)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert not (folder / ".jaxgen").exists()
    assert place_of(folder).of("train")[1].is_file()


def test_a_set_that_can_be_cached_nowhere_says_so_once(folder, monkeypatch):
    unwritable(monkeypatch, "/")
    with pytest.warns(UserWarning, match=r"\.jaxgen \(.* or .*every start will read all") as said:
        cache.write(place_of(folder), "test", in_chunks(IMAGE, LABEL))
    assert len(said) == 1


def test_records_that_cannot_be_read_leave_what_was_there(place, path):
    def chunks():
        yield IMAGE[:1], LABEL[:1]
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        cache.write(place, "train", chunks())
    np.testing.assert_array_equal(cached(place)[0], IMAGE)
    assert not list(path.parent.glob("*.tmp"))


def test_no_more_than_a_chunk_is_held_in_memory(place):
    chunk_bytes, num_chunks = 1_000_000, 20

    def chunks():
        for i in range(num_chunks):
            yield np.full((10, 100, 1000, 1), i, np.uint8), np.full(10, i, np.int32)

    tracemalloc.start()
    try:
        cache.write(place, "train", chunks())
        image, label = cached(place, mapped=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * chunk_bytes
    np.testing.assert_array_equal(image[:, 0, 0, 0], label)


def test_many_writers_and_readers(place, path):
    def write_and_read(_):
        cache.write(place, "train", in_chunks(IMAGE, LABEL))
        return cached(place)

    with ThreadPoolExecutor(8) as pool:
        for image, label in pool.map(write_and_read, range(40)):
            np.testing.assert_array_equal(image, IMAGE)
            np.testing.assert_array_equal(label, LABEL)
    assert not list(path.parent.glob("*.tmp"))


def test_load_caches_and_rebuilds_a_bad_cache(tmp_path, originals, monkeypatch, mapped):
    first = load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    (path,) = (tmp_path / "mnist" / "3.0.1" / ".jaxgen").glob("*.train.npz")
    contents = path.read_bytes()
    path.write_bytes(contents[:1000])
    second = load("mnist", "train", data_dir=tmp_path, mapped=mapped)
    assert path.read_bytes() == contents
    monkeypatch.setattr(tfds, "prepare_arrays", None)  # from here on, only the cache is left
    third = load("mnist", "train", data_dir=tmp_path, mapped=mapped)
    for batch in (second, third):
        np.testing.assert_array_equal(batch.image, first.image)
        np.testing.assert_array_equal(batch.label, first.label)
