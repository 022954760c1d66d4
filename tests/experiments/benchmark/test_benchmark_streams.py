"""Streaming: the same training as from memory, and the cost of contenders of known speed."""

from itertools import chain, repeat

import jax
import numpy as np
import pytest

from experiments.benchmark import streams
from experiments.benchmark.workloads import CHUNK_STEPS, Workload

WORKLOAD = Workload("MLP VAE", (8, 8, 1), batch_size=16)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "NUM_IMAGES", 2 * CHUNK_STEPS * WORKLOAD.batch_size)
    return streams.memory_mapped_images(tmp_path, WORKLOAD)


def test_the_source_is_a_memory_mapped_file(images):
    assert isinstance(images.image, np.memmap)
    assert images.image.shape == (2 * CHUNK_STEPS * WORKLOAD.batch_size, 8, 8, 1)
    assert abs(images.image.mean() - 127.5) < 2


def test_an_epoch_of_the_stream_delivers_every_image_once(images):
    chunks = streams.streamed(WORKLOAD, images)(0)
    epoch = [next(chunks) for _ in range(2)]
    assert epoch[0].image.shape == (CHUNK_STEPS, WORKLOAD.batch_size, 8, 8, 1)
    delivered = np.concatenate([np.asarray(chunk.image).reshape(-1, 8 * 8) for chunk in epoch])
    stored = images.image.reshape(-1, 8 * 8)
    assert {row.tobytes() for row in delivered} == {row.tobytes() for row in stored}


def test_training_is_bit_identical_from_memory_and_from_the_stream(images):
    resident = streams.training(WORKLOAD, jax.device_put(images))
    from_disk = streams.training(WORKLOAD, streams.streamed(WORKLOAD, images))
    ours, theirs = (
        np.array([next(chunks).metrics["loss"] for _ in range(2)])
        for chunks in (resident, from_disk)
    )
    np.testing.assert_array_equal(ours, theirs)
    assert ours.shape == (2, CHUNK_STEPS)


def test_the_cost_of_streaming_is_relative_to_memory(monkeypatch, images, clock):
    """2 ms per step from memory, 2.2 streamed, 0.1 for the source; the first runs compile."""

    def contenders(workload, source):
        assert source.image.shape == images.image.shape
        return {
            "memory": clock.contender("memory", [60, 1, 9, 1], 500),  # disturbed once
            "stream": clock.contender("stream", chain([60], repeat(1.1)), 500),
            "source only": clock.contender("source only", repeat(1), 10_000),
        }

    monkeypatch.setattr(streams, "contenders", contenders)
    record = streams.cost(WORKLOAD, 3)
    medians = {name: step["median"] for name, step in record["milliseconds_per_step"].items()}
    assert medians == pytest.approx({"memory": 2, "stream": 2.2, "source only": 0.1})
    assert record["stream_to_memory"] == pytest.approx(1.1)
    assert record["source_images_per_second"] == pytest.approx(16 * 10_000)
