import itertools
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from jaxgen.data import load, pad_to, read_chunks, stream
from jaxgen.errors import InputError
from jaxgen.types import Batch

NUM_EXAMPLES = 50
GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (NUM_EXAMPLES, 6, 5, 3)).astype(np.uint8)
LABEL = np.arange(NUM_EXAMPLES, dtype=np.int32)
SOURCE = Batch(IMAGE, LABEL)  # pyright: ignore


def rows(chunk, shape=(3, 4)):
    return np.random.default_rng(chunk).integers(0, NUM_EXAMPLES, shape)


def unchanged(batch):
    return batch


def take(chunks, n):
    return list(itertools.islice(chunks, n))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_chunks_are_the_examples_of_their_rows(shape):
    chunks = take(read_chunks(SOURCE, partial(rows, shape=shape), 0, unchanged), 7)
    for i, (image, label) in enumerate(chunks):
        np.testing.assert_array_equal(image, IMAGE[rows(i, shape)])
        np.testing.assert_array_equal(label, rows(i, shape))
        assert (image.dtype, label.dtype) == (np.uint8, np.int32)


def test_prepare_sees_examples_in_one_row():
    padded = pad_to(SOURCE, 8).image
    for i, chunk in enumerate(take(read_chunks(SOURCE, rows, 0, partial(pad_to, size=8)), 3)):
        np.testing.assert_array_equal(chunk.image, np.asarray(padded)[rows(i)])


def test_starting_at_a_chunk_is_skipping_those_before():
    whole = take(read_chunks(SOURCE, rows, 0, unchanged), 9)
    rest = take(read_chunks(SOURCE, rows, 4, unchanged), 5)
    for expected, chunk in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(chunk.image, expected.image)
        np.testing.assert_array_equal(chunk.label, expected.label)


def test_a_mapped_set(tmp_path, originals):
    source = load("mnist", "train", tmp_path, originals.folder, mapped=True)
    whole = load("mnist", "train", tmp_path)
    row = np.array([[36, 0, 3], [5, 5, 1]])
    image, label = next(read_chunks(source, lambda _: row, 0, unchanged))
    np.testing.assert_array_equal(image, np.asarray(whole.image)[row])
    np.testing.assert_array_equal(label, np.asarray(whole.label)[row])
    assert not isinstance(image, np.memmap)


def test_chunks_are_read_ahead_but_not_far():
    asked, ahead = [], threading.Semaphore(0)

    def counted(chunk):
        asked.append(chunk)
        ahead.release()
        return rows(chunk)

    chunks = read_chunks(SOURCE, counted, 0, unchanged)
    for taken in range(1, 6):
        next(chunks)
        while len(asked) < taken + stream.CHUNKS_AHEAD:  # is read with nobody asking
            assert ahead.acquire(timeout=10)
        time.sleep(0.02)  # what would go on reading, had the time to
        assert sorted(asked) == list(range(taken + stream.CHUNKS_AHEAD))


@pytest.mark.parametrize("failing", ["rows", "prepare"])
def test_an_error_is_raised_where_its_chunk_would_come(failing):
    def fail_at_2(chunk):
        if chunk == 2 and failing == "rows":
            raise InputError("no such rows")
        return np.full((1, 2), chunk)

    def fail_at_label_2(batch):
        if 2 in batch.label and failing == "prepare":
            raise InputError("no such rows")
        return batch

    chunks = read_chunks(SOURCE, fail_at_2, 0, fail_at_label_2)
    take(chunks, 2)
    with pytest.raises(InputError, match="no such rows"):
        next(chunks)


def test_images_too_large_are_named():
    with pytest.raises(InputError, match="6x5 pixels do not fit"):
        next(read_chunks(SOURCE, rows, 0, partial(pad_to, size=4)))


@pytest.mark.parametrize("end", ["", "del chunks", "raise SystemExit"])
def test_a_process_ends_with_chunks_left(end):
    program = (
        "import numpy as np\n"
        "from jaxgen.data import load, read_chunks\n"
        "chunks = read_chunks(load('mnist_5k', 'test'), lambda i: np.full(3, i), 0, lambda b: b)\n"
        "assert next(chunks).label.tolist() == [0, 0, 0]\n"
        f"{end}\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=20)


def test_chunks_left_are_not_read_on():
    num_threads = threading.active_count()
    chunks = read_chunks(SOURCE, rows, 0, unchanged)
    next(chunks)
    assert threading.active_count() > num_threads
    del chunks
    deadline = time.perf_counter() + 10
    while threading.active_count() > num_threads and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == num_threads
