"""The cost of a checkpoint: what saving takes longer than training alone."""

import pytest

from experiments.benchmark import saving, streams
from experiments.benchmark.workloads import CHUNK_STEPS, Workload

WORKLOAD = Workload("MLP VAE", (8, 8, 1), batch_size=16)


def test_a_checkpoint_costs_what_training_takes_longer_with_it(monkeypatch):
    """All contenders run, but known times replace theirs, which other processes disturb."""

    def known_times(contenders, rounds):
        assert rounds == 3
        for contender in contenders.values():
            contender.run()
            assert contender.num_steps == 1
        return {"without": [1e2, 1e2, 9e2], "with": [150.0] * 3, "digests": [10.0, 20.0, 20.0]}

    monkeypatch.setattr(saving, "interleave", known_times)
    monkeypatch.setattr(streams, "NUM_IMAGES", 5 * CHUNK_STEPS * WORKLOAD.batch_size)
    record = saving.cost(WORKLOAD, 3)
    assert record["epoch_seconds"] == pytest.approx(0.5)
    assert record["checkpoint_milliseconds"] == pytest.approx({"without": 30, "with": 50})
    assert record["share_of_epoch"] == pytest.approx({"without": 0.06, "with": 0.1})
    assert record["epochs_between_checkpoints"] == 20  # ten seconds
    assert record["share_of_training"] == pytest.approx({"without": 0.003, "with": 0.005})
    # Weights and biases of 64-512-512-32, of another 512-32, and of the way back; two moments each.
    num_weights = 64 * 512 + 512 * 512 + 2 * 512 * 32 + 32 * 512 + 512 * 512 + 512 * 64
    num_biases = 512 + 512 + 2 * 32 + 512 + 512 + 64
    assert record["megabytes"] == pytest.approx(3 * 4 * (num_weights + num_biases) / 1e6, rel=1e-4)
