"""The means of an epoch, its record, and who has diverged."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.runner.epochs import (
    Totals,
    best_epoch,
    diverged_before,
    make_record,
    member_record,
    newly_diverged,
    score,
)
from jaxgen.runs.records import Record
from jaxgen.training.loop import Chunk

SCORE = "test/elbo"


def chunk(step, **metrics):
    values = {name: np.asarray(value, np.float32) for name, value in metrics.items()}
    return Chunk(None, values, 0, step, 1.5, False)


def test_an_epoch_is_averaged_over_all_its_steps():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(3, 5)).astype(np.float32)
    totals = Totals()
    for values in losses:
        totals = totals.add(chunk(5, loss=values))
    assert totals.means["loss"] == pytest.approx(losses.astype(float).mean(), rel=1e-12)
    assert totals.seconds == 4.5


def test_members_are_averaged_separately():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(2, 4, 5)).astype(np.float32)
    totals = Totals().add(chunk(5, loss=losses[0])).add(chunk(10, loss=losses[1]))
    np.testing.assert_allclose(totals.means["loss"], losses.mean(axis=(0, 2)), rtol=1e-6)


def test_a_diverging_member_is_found_at_its_first_bad_step_with_its_metrics():
    loss = np.ones((3, 4))
    loss[1, 2:] = np.nan
    norm = np.ones((3, 4))
    norm[1, 3] = np.inf
    norm[2, 0] = np.inf
    found = newly_diverged(chunk(12, loss=loss, norm=norm), {2: 3})
    assert found == {1: (10, ["loss"])}  # member 2 was known before


def test_a_single_run_is_member_0():
    assert newly_diverged(chunk(4, loss=[1.0, np.inf, 1.0, 1.0]), {}) == {0: (1, ["loss"])}
    assert newly_diverged(chunk(4, loss=[1.0] * 4), {}) == {}


def test_members_that_are_behind_have_diverged_before():
    records: list[Record] = [{"diverged": {"2": 17}}]
    assert diverged_before(np.array([30, 10, 0, 30]), records) == {1: 10, 2: 17}
    assert diverged_before(np.array(30), records) == {}
    assert diverged_before(np.array([30, 0]), []) == {1: 0}


def test_the_record_of_a_single_run():
    totals = Totals().add(chunk(4, loss=[2.0, 4.0]))
    record = make_record(1, 4, totals, {"elbo": np.array(7.0)}, {}, SCORE, "min")
    expected = {"epoch": 1, "step": 4, "seconds": 1.5, "train/loss": 3.0, SCORE: 7.0}
    assert record == expected | {"time": record["time"]}
    assert score(record, SCORE) == 7.0


def test_the_record_of_a_population():
    totals = Totals().add(chunk(4, loss=[[2.0], [4.0], [np.nan]]))
    test = {"elbo": np.array([7.0, 5.0, 1.0])}
    record = make_record(1, 4, totals, test, {2: 3}, SCORE, "min")
    assert record["train/loss"] == [2.0, 4.0, None]
    assert record[SCORE] == [7.0, 5.0, None]  # a frozen member's metric is not its own any more
    assert record["best_member"] == 1
    assert record["summary"][SCORE]["mean"] == score(record, SCORE) == 6.0
    assert record["diverged"] == {"2": 3}
    single = member_record(record, 1)
    assert single["train/loss"] == 4.0
    assert single[SCORE] == 5.0
    assert "summary" not in single


def test_a_metric_that_is_finite_for_nobody_stops_the_run():
    test = {"elbo": np.array([3.0, 4.0]), "kl": np.array([np.inf, 4.0])}
    with pytest.raises(InputError, match="test/kl not finite after step 10"):
        make_record(1, 10, Totals(), test, {1: 5}, SCORE, "min")
    test["kl"] = np.array([1.0, np.inf])
    assert make_record(1, 10, Totals(), test, {1: 5}, SCORE, "min")["test/kl"] == [1.0, None]


@pytest.mark.parametrize(("mode", "epoch"), [("min", 3), ("max", 2)])
def test_the_best_epoch_has_the_best_score(mode, epoch):
    single = [{"epoch": n, "a": value} for n, value in enumerate([2.0, 5.0, 1.0, 3.0], start=1)]
    population = [
        {"epoch": record["epoch"], "a": [], "summary": {"a": {"mean": record["a"]}}}
        for record in single
    ]
    assert best_epoch(single, "a", mode) == best_epoch(population, "a", mode) == epoch
    assert best_epoch([], "a", mode) is None
