"""What a checkpoint records beside its state: restored exactly, or refused by name."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.runner import saved
from jaxgen.runner.epochs import Totals
from jaxgen.runner.saved import Saved
from jaxgen.training import checkpoint

LINE = {"epoch": 1, "step": 50, "test/loss": 0.1, "summary": {"test/loss": {"mean": 0.1}}}
TOTALS = Totals({"loss": np.array([0.1, 2 / 3])}, 2, 0.75)


@pytest.fixture
def record(tmp_path):
    """Commit a checkpoint, with a right digest, that records any JSON value."""

    def commit(extra):
        with checkpoint.open_checkpointer() as checkpointer:
            checkpoint.save(checkpointer, tmp_path, 75, {"step": jnp.int32(75)})
            checkpoint.commit(checkpointer, tmp_path, 75, 0.1, "min", extra)
        assert checkpoint.damage(tmp_path, 75) == ""
        return tmp_path

    return commit


def test_lines_and_totals_come_back_exactly(record):
    path = record(Saved((LINE,), TOTALS).to_json())
    found = saved.read(path, 75, 2)
    assert found.lines == (LINE,)
    assert found.totals.num_chunks == 2
    assert found.totals.seconds == 0.75
    np.testing.assert_array_equal(found.totals.metrics["loss"], TOTALS.metrics["loss"])


GOOD = dict(Saved((LINE,), TOTALS).to_json())


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"lines": []},
        {"totals": GOOD["totals"]},
        *(GOOD | {"lines": lines} for lines in (None, 5, [5], ["x"], [{}], [{"epoch": 1}], [[]])),
        *(GOOD | {"lines": [LINE | change]} for change in ({"step": -1}, {"test/loss": "x"})),
        *(GOOD | {"totals": totals} for totals in (None, 5, [], {}, {"metrics": {}})),
        *(
            GOOD | {"totals": GOOD["totals"] | change}
            for change in (
                {"metrics": []},
                {"metrics": {"loss": "x"}},
                {"metrics": {"loss": 0.5}},  # of a single run
                {"metrics": {"loss": [0.5]}},
                {"metrics": {"loss": [0.5, 10**400]}},
                {"num_chunks": -1},
                {"num_chunks": 0.5},
                {"seconds": None},
            )
        ),
    ],
    ids=json.dumps,
)
def test_anything_else_is_refused_by_name(record, extra):
    path = record(extra)
    with pytest.raises(InputError, match=r"75\.json is not by this version") as raised:
        saved.read(path, 75, 2)
    assert "\n" not in str(raised.value)
