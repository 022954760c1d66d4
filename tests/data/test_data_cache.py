import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jaxgen.data import cache, load, tfds
from jaxgen.data.tfds import Records
from jaxgen.errors import InputError

IMAGE = np.arange(4 * 3 * 3 * 1, dtype=np.uint8).reshape(4, 3, 3, 1)
LABEL = np.array([3, 1, 2, 0], np.int32)


def in_chunks(image, label, size=3):
    """The examples as if they were read, `size` at a time."""
    starts = range(0, len(label), size)
    chunks = ((image[start : start + size], label[start : start + size]) for start in starts)
    return Records(image.shape, chunks)


@pytest.fixture
def folder(tmp_path):
    """A prepared set as the cache sees it."""
    (tmp_path / "features.json").write_text("{}")
    (tmp_path / "set-train.array_record-00000-of-00001").write_bytes(b"records")
    return tmp_path


@pytest.fixture
def path(folder):
    """The cache of its training split."""
    path = cache.cache_path(folder, "train", None)
    cache.write(path, in_chunks(IMAGE, LABEL))
    return path


def cached(path, mapped=False):
    arrays = cache.read(path, mapped)
    assert arrays is not None
    return arrays


@pytest.fixture(params=[False, True], ids=["unmapped", "mapped"])
def mapped(request):
    return request.param


def test_what_was_written_is_read(path, mapped):
    image, label = cached(path, mapped)
    assert isinstance(image, np.memmap) == mapped
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.int32)


def test_a_cache_that_was_not_written_is_not_read(folder, mapped):
    assert cache.read(cache.cache_path(folder, "test", None), mapped) is None


def test_each_split_and_size_has_a_cache_of_its_own(folder):
    """A split may be named like another with a size."""
    splits, sizes = ("train", "test", "train-32", "train32"), (None, 32, 64)
    paths = {cache.cache_path(folder, split, size) for split in splits for size in sizes}
    assert len(paths) == len(splits) * len(sizes)
    assert {path.parent for path in paths} == {folder}


def test_numpy_reads_what_was_written(path):
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["image"], IMAGE)
        np.testing.assert_array_equal(arrays["label"], LABEL)


def test_a_file_written_by_numpy_is_read_but_not_mapped(path):
    with np.load(path) as arrays:
        np.savez(path, image=IMAGE, label=LABEL, source=arrays["source"])
    np.testing.assert_array_equal(cached(path)[0], IMAGE)
    assert cache.read(path, mapped=True) is None  # its shape is not recorded


def test_a_mapped_image_is_the_file_and_cannot_be_changed(path):
    image, _ = cached(path, mapped=True)
    assert image.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0
    contents = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(contents.index(bytes(IMAGE)))
        file.write(bytes(reversed(bytes(IMAGE))))
    assert bytes(image) == bytes(reversed(bytes(IMAGE)))


def test_a_mapped_image_outlives_its_replacement(path):
    image, _ = cached(path, mapped=True)
    cache.write(path, in_chunks(IMAGE[:1], LABEL[:1]))
    np.testing.assert_array_equal(image, IMAGE)


def test_cache_cut_anywhere_is_not_read(path, mapped):
    contents = path.read_bytes()
    for length in range(0, len(contents), 7):
        path.write_bytes(contents[:length])
        assert cache.read(path, mapped) is None


def test_cache_with_any_byte_changed_is_sound_or_not_read(path, mapped):
    contents = path.read_bytes()
    pixels = contents.index(bytes(IMAGE))
    for i in range(len(contents)):
        if mapped and pixels <= i < pixels + IMAGE.size:
            continue  # not checked, which would mean reading them all
        changed = bytearray(contents)
        changed[i] ^= 0xFF
        path.write_bytes(changed)
        arrays = cache.read(path, mapped)
        if arrays is not None:
            np.testing.assert_array_equal(arrays[0], IMAGE)
            np.testing.assert_array_equal(arrays[1], LABEL)


def test_cache_of_another_kind_is_not_read(path, mapped):
    with path.open("wb") as file:
        np.save(file, IMAGE)
    assert cache.read(path, mapped) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"image": IMAGE.astype(np.float32)},
        {"image": IMAGE[..., 0]},
        {"image": IMAGE[..., 0], "shape": IMAGE.shape[:3]},
        {"label": LABEL.astype(np.int64)},
        {"label": LABEL[:3]},
        {"image": np.array([object()])},
    ],
)
def test_cache_of_other_arrays_is_not_read(path, arrays, mapped):
    with np.load(path) as sound:
        arrays = dict(sound) | arrays
    np.savez(path, **arrays)
    assert cache.read(path, mapped) is None


def test_cache_of_an_older_set_is_not_read(folder, path, mapped):
    record = folder / "set-train.array_record-00000-of-00001"
    stat = record.stat()
    record.write_bytes(b"RECORDS")  # of the same size
    os.utime(record, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert cache.read(path, mapped) is None


def test_writing_one_cache_leaves_the_others_valid(folder, path):
    others = [cache.cache_path(folder, "test", None), cache.cache_path(folder, "train", 32)]
    for other in others:
        cache.write(other, in_chunks(IMAGE[:1], LABEL[:1]))
    np.testing.assert_array_equal(cached(path)[0], IMAGE)
    for other in others:
        np.testing.assert_array_equal(cached(other)[0], IMAGE[:1])


def test_crash_while_writing_leaves_what_was_there(path, monkeypatch):
    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.write(path, in_chunks(IMAGE[:1], LABEL[:1]))
    image, _ = cached(path)
    np.testing.assert_array_equal(image, IMAGE)
    assert not list(path.parent.glob("*.tmp"))


def test_full_disk_warns_and_leaves_nothing(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = cache.cache_path(folder, "test", None)
    message = r"jaxgen-test.npz cannot be written .*No space left.* every start will read"
    with pytest.warns(UserWarning, match=message):
        cache.write(path, in_chunks(IMAGE, LABEL))
    assert cache.read(path) is None
    assert not list(folder.glob("*.tmp"))


def test_records_that_cannot_be_read_leave_what_was_there(path):
    def chunks():
        yield IMAGE[:1], LABEL[:1]
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        cache.write(path, Records(IMAGE.shape, chunks()))
    np.testing.assert_array_equal(cached(path)[0], IMAGE)
    assert not list(path.parent.glob("*.tmp"))


def test_no_more_than_a_chunk_is_held_in_memory(path):
    chunk_bytes, num_chunks = 1_000_000, 20

    def chunks():
        for i in range(num_chunks):
            yield np.full((10, 100, 1000, 1), i, np.uint8), np.full(10, i, np.int32)

    tracemalloc.start()
    try:
        cache.write(path, Records((10 * num_chunks, 100, 1000, 1), chunks()))
        image, label = cached(path, mapped=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * chunk_bytes
    np.testing.assert_array_equal(image[:, 0, 0, 0], label)


def test_many_writers_and_readers(path):
    def write_and_read(_):
        cache.write(path, in_chunks(IMAGE, LABEL))
        return cached(path)

    with ThreadPoolExecutor(8) as pool:
        for image, label in pool.map(write_and_read, range(40)):
            np.testing.assert_array_equal(image, IMAGE)
            np.testing.assert_array_equal(label, LABEL)
    assert not list(path.parent.glob("*.tmp"))


def test_load_caches_and_rebuilds_a_bad_cache(tmp_path, originals, monkeypatch, mapped):
    first = load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder)
    path = tmp_path / "mnist" / "3.0.1" / "jaxgen-train.npz"
    contents = path.read_bytes()
    path.write_bytes(contents[:1000])
    second = load("mnist", "train", data_dir=tmp_path, mapped=mapped)
    assert path.read_bytes() == contents
    monkeypatch.setattr(tfds, "read", None)  # from here on, only the cache is left
    third = load("mnist", "train", data_dir=tmp_path, mapped=mapped)
    for batch in (second, third):
        np.testing.assert_array_equal(batch.image, first.image)
        np.testing.assert_array_equal(batch.label, first.label)
