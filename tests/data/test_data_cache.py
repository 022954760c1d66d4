import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jaxgen.data import cache, load, records
from jaxgen.data.records import Records
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
    """A prepared set as the cache sees it, with its arrays cached."""
    (tmp_path / "features.json").write_text("{}")
    (tmp_path / "set-train.array_record-00000-of-00001").write_bytes(b"records")
    cache.write(tmp_path, "train", in_chunks(IMAGE, LABEL))
    return tmp_path


def cached(folder, mapped=False):
    arrays = cache.read(folder, "train", mapped)
    assert arrays is not None
    return arrays


@pytest.fixture(params=[False, True], ids=["unmapped", "mapped"])
def mapped(request):
    return request.param


def test_what_was_written_is_read(folder, mapped):
    image, label = cached(folder, mapped)
    assert isinstance(image, np.memmap) == mapped
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.int32)
    assert cache.read(folder, "test", mapped) is None


def test_numpy_reads_what_was_written(folder):
    with np.load(folder / "jaxgen-train.npz") as arrays:
        np.testing.assert_array_equal(arrays["image"], IMAGE)
        np.testing.assert_array_equal(arrays["label"], LABEL)


def test_what_numpy_would_write_is_read_but_not_mapped(folder):
    path = folder / "jaxgen-train.npz"
    with np.load(path) as arrays:
        np.savez(path, image=IMAGE, label=LABEL, source=arrays["source"])
    np.testing.assert_array_equal(cached(folder)[0], IMAGE)
    assert cache.read(folder, "train", mapped=True) is None  # for it does not say its shape


def test_a_mapped_image_is_the_file_and_cannot_be_changed(folder):
    path = folder / "jaxgen-train.npz"
    image, _ = cached(folder, mapped=True)
    assert image.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0
    contents = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(contents.index(bytes(IMAGE)))
        file.write(bytes(reversed(bytes(IMAGE))))
    assert bytes(image) == bytes(reversed(bytes(IMAGE)))


def test_a_mapped_image_outlives_its_replacement(folder):
    image, _ = cached(folder, mapped=True)
    cache.write(folder, "train", in_chunks(IMAGE[:1], LABEL[:1]))
    np.testing.assert_array_equal(image, IMAGE)


def test_cache_cut_anywhere_is_not_read(folder, mapped):
    path = folder / "jaxgen-train.npz"
    contents = path.read_bytes()
    for length in range(0, len(contents), 7):
        path.write_bytes(contents[:length])
        assert cache.read(folder, "train", mapped) is None


def test_cache_with_any_byte_changed_is_sound_or_not_read(folder, mapped):
    path = folder / "jaxgen-train.npz"
    contents = path.read_bytes()
    pixels = contents.index(bytes(IMAGE))
    for i in range(len(contents)):
        if mapped and pixels <= i < pixels + IMAGE.size:
            continue  # not checked, for that would be to read them all
        changed = bytearray(contents)
        changed[i] ^= 0xFF
        path.write_bytes(changed)
        arrays = cache.read(folder, "train", mapped)
        if arrays is not None:
            np.testing.assert_array_equal(arrays[0], IMAGE)
            np.testing.assert_array_equal(arrays[1], LABEL)


def test_cache_of_another_kind_is_not_read(folder, mapped):
    with (folder / "jaxgen-train.npz").open("wb") as file:
        np.save(file, IMAGE)
    assert cache.read(folder, "train", mapped) is None


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
def test_cache_of_other_arrays_is_not_read(folder, arrays, mapped):
    path = folder / "jaxgen-train.npz"
    with np.load(path) as sound:
        arrays = dict(sound) | arrays
    np.savez(path, **arrays)
    assert cache.read(folder, "train", mapped) is None


def test_cache_of_an_older_set_is_not_read(folder, mapped):
    record = folder / "set-train.array_record-00000-of-00001"
    stat = record.stat()
    record.write_bytes(b"RECORDS")  # of the same size
    os.utime(record, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert cache.read(folder, "train", mapped) is None


def test_caching_one_split_leaves_the_other_valid(folder):
    cache.write(folder, "test", in_chunks(IMAGE[:1], LABEL[:1]))
    assert cache.read(folder, "train") is not None
    assert cache.read(folder, "test") is not None


def test_crash_while_writing_leaves_what_was_there(folder, monkeypatch):
    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.write(folder, "train", in_chunks(IMAGE[:1], LABEL[:1]))
    image, _ = cached(folder)
    np.testing.assert_array_equal(image, IMAGE)
    assert not list(folder.glob("*.tmp"))


def test_full_disk_warns_and_leaves_nothing(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="every start reads .* anew: .*No space left"):
        cache.write(folder, "test", in_chunks(IMAGE, LABEL))
    assert cache.read(folder, "test") is None
    assert not list(folder.glob("*.tmp"))


def test_records_that_cannot_be_read_leave_what_was_there(folder):
    def chunks():
        yield IMAGE[:1], LABEL[:1]
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        cache.write(folder, "train", Records(IMAGE.shape, chunks()))
    np.testing.assert_array_equal(cached(folder)[0], IMAGE)
    assert not list(folder.glob("*.tmp"))


def test_no_more_than_a_chunk_is_held_in_memory(folder):
    chunk_bytes, num_chunks = 1_000_000, 20

    def chunks():
        for i in range(num_chunks):
            yield np.full((10, 100, 1000, 1), i, np.uint8), np.full(10, i, np.int32)

    tracemalloc.start()
    try:
        records = Records((10 * num_chunks, 100, 1000, 1), chunks())
        cache.write(folder, "train", records)
        image, label = cached(folder, mapped=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * chunk_bytes
    np.testing.assert_array_equal(image[:, 0, 0, 0], label)


def test_many_writers_and_readers(folder):
    def write_and_read(_):
        cache.write(folder, "train", in_chunks(IMAGE, LABEL))
        return cached(folder)

    with ThreadPoolExecutor(8) as pool:
        for image, label in pool.map(write_and_read, range(40)):
            np.testing.assert_array_equal(image, IMAGE)
            np.testing.assert_array_equal(label, LABEL)
    assert not list(folder.glob("*.tmp"))


def test_load_caches_and_rebuilds_a_bad_cache(tmp_path, originals, monkeypatch, mapped):
    first = load("mnist", "train", tmp_path, originals.folder)
    path = tmp_path / "mnist" / "3.0.1" / "jaxgen-train.npz"
    contents = path.read_bytes()
    path.write_bytes(contents[:1000])
    second = load("mnist", "train", tmp_path, mapped=mapped)
    assert path.read_bytes() == contents
    monkeypatch.setattr(records, "read", None)  # from here on, only the cache is left
    third = load("mnist", "train", tmp_path, mapped=mapped)
    for batch in (second, third):
        np.testing.assert_array_equal(batch.image, first.image)
        np.testing.assert_array_equal(batch.label, first.label)
