import itertools
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from jaxgen.data import load, prefetch
from jaxgen.data.prefetch import read_chunks
from jaxgen.errors import InputError
from jaxgen.types import Batch

NUM_EXAMPLES = 50
GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (NUM_EXAMPLES, 6, 5, 3)).astype(np.uint8)
LABEL = np.arange(NUM_EXAMPLES, dtype=np.int32)
SOURCE = Batch(IMAGE, LABEL)  # pyright: ignore


def rows(chunk, shape=(3, 4)):
    return np.random.default_rng(chunk).integers(0, NUM_EXAMPLES, shape)


def take(chunks, n):
    return list(itertools.islice(chunks, n))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_chunks_are_the_examples_of_their_rows(shape):
    chunks = take(read_chunks(SOURCE, partial(rows, shape=shape), 0), 7)
    for i, (image, label) in enumerate(chunks):
        np.testing.assert_array_equal(image, IMAGE[rows(i, shape)])
        np.testing.assert_array_equal(label, rows(i, shape))
        assert (image.dtype, label.dtype) == (np.uint8, np.int32)


def test_starting_at_a_chunk_is_skipping_those_before():
    whole = take(read_chunks(SOURCE, rows, 0), 9)
    rest = take(read_chunks(SOURCE, rows, 4), 5)
    for expected, chunk in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(chunk.image, expected.image)
        np.testing.assert_array_equal(chunk.label, expected.label)


def test_a_mapped_set(tmp_path, originals):
    source = load("mnist", "train", data_dir=tmp_path, manual_dir=originals.folder, mapped=True)
    whole = load("mnist", "train", data_dir=tmp_path)
    row = np.array([[36, 0, 3], [5, 5, 1]])
    image, label = next(read_chunks(source, lambda _: row, 0))
    np.testing.assert_array_equal(image, np.asarray(whole.image)[row])
    np.testing.assert_array_equal(label, np.asarray(whole.label)[row])
    assert not isinstance(image, np.memmap)


def test_chunks_are_read_ahead_but_not_far():
    asked, ahead = [], threading.Semaphore(0)

    def counted(chunk):
        asked.append(chunk)
        ahead.release()
        return rows(chunk)

    chunks = read_chunks(SOURCE, counted, 0)
    for taken in range(1, 6):
        next(chunks)
        while len(asked) < taken + prefetch.CHUNKS_AHEAD:  # without being asked for more
            assert ahead.acquire(timeout=10)
        time.sleep(0.02)  # enough to read another chunk
        assert sorted(asked) == list(range(taken + prefetch.CHUNKS_AHEAD))


def test_an_error_is_raised_in_place_of_its_chunk():
    def fail_at_2(chunk):
        if chunk == 2:
            raise InputError("no such rows")
        return np.full((1, 2), chunk)

    chunks = read_chunks(SOURCE, fail_at_2, 0)
    assert [chunk.label.tolist() for chunk in take(chunks, 2)] == [[[0, 0]], [[1, 1]]]
    with pytest.raises(InputError, match="no such rows"):
        next(chunks)


@pytest.mark.parametrize("end", ["", "del chunks", "raise SystemExit"])
def test_a_process_ends_with_chunks_left(end):
    program = (
        "import numpy as np\n"
        "from jaxgen.data import load\n"
        "from jaxgen.data.prefetch import read_chunks\n"
        "chunks = read_chunks(load('mnist_5k', 'test'), lambda i: np.full(3, i), 0)\n"
        "assert next(chunks).label.tolist() == [0, 0, 0]\n"
        f"{end}\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=20)


def test_threads_end_with_their_chunks():
    num_threads = threading.active_count()
    chunks = read_chunks(SOURCE, rows, 0)
    next(chunks)
    assert threading.active_count() > num_threads
    del chunks
    deadline = time.perf_counter() + 10
    while threading.active_count() > num_threads and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == num_threads
