"""The benchmark of streams: both sides see the same images, and the cost is their ratio."""

import numpy as np
import pytest

from experiments import stream_benchmark as benchmark
from experiments.contenders import CHUNK_STEPS, WORKLOADS

WORKLOAD = WORKLOADS["mlp-vae"]


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_IMAGES", 2 * CHUNK_STEPS * WORKLOAD.batch_size)
    return benchmark.source(tmp_path)


def test_the_source_is_a_file_that_is_mapped(images):
    assert isinstance(images.image, np.memmap)
    assert images.image.shape == (2 * CHUNK_STEPS * WORKLOAD.batch_size, 28, 28, 1)
    chunk = next(benchmark.chunks_of(WORKLOAD, images)(0))
    assert chunk.image.shape == (CHUNK_STEPS, WORKLOAD.batch_size, 32, 32, 1)


def test_the_cost_is_the_ratio_of_medians(monkeypatch, images):
    figures = {"memory": [2.0, 2.0, 9.0], "stream": [2.2, 2.2, 2.2], "source alone": [0.1] * 3}
    monkeypatch.setattr(benchmark, "interleave", lambda contenders, rounds: figures)
    record = benchmark.cost(WORKLOAD, 3)
    assert record["stream_to_memory"] == pytest.approx(1.1)
    assert record["source_images_per_second"] == pytest.approx(1_280_000)
