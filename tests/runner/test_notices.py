"""What a run should hold and does not is named."""

import pytest

from jaxgen.runner.notices import notices
from jaxgen.training.checkpoint import Damaged


def lines(*epochs):
    return [{"epoch": epoch, "step": 10 * epoch} for epoch in epochs]


@pytest.mark.parametrize(
    ("step", "epochs"),
    [(0, ()), (30, (1, 2, 3)), (30, (0, 1, 2, 3)), (35, (1, 2, 3)), (7, ())],
)
def test_nothing_is_said_of_a_whole_run(tmp_path, step, epochs):
    assert notices(tmp_path, step, [], lines(*epochs), 10) == []


def test_damaged_checkpoints_are_named_once(tmp_path):
    damaged = [Damaged(30, "30.json is altered")]
    found = notices(tmp_path, 20, damaged, lines(1, 2, 3), 10)
    assert found == ["30.json is altered: using the checkpoint of step 20"]


def test_a_checkpoint_that_only_its_line_tells_of_is_named(tmp_path):
    (notice,) = notices(tmp_path, 20, [], lines(1, 2, 3), 10)
    assert notice == (f"{tmp_path}/checkpoints/30.json is missing: using the checkpoint of step 20")


def test_missing_lines_are_named(tmp_path):
    (notice,) = notices(tmp_path, 50, [], lines(2, 4, 5), 10)
    assert notice == f"{tmp_path}/metrics.jsonl lacks the line of epoch 1, 3"
