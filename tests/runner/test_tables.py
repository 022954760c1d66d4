"""The table of members stays short."""

import io

import numpy as np
import pytest
from rich.console import Console

from jaxgen.recipes import vae
from jaxgen.runner.command_line import defaults, parse
from jaxgen.runner.tables import members_table
from jaxgen.types import Mode

METRIC = "test/negative_elbo_nats"


def table(values, *args, mode: Mode = "min", diverged=None):
    """The words of each row of a table, below its head; and its caption."""
    options = parse(vae.RECIPE, defaults(vae.RECIPE), "test", [str(arg) for arg in args])
    best = int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))
    record = {METRIC: list(values), "best_member": best, "diverged": diverged or {}}
    output = io.StringIO()
    made = members_table(record, options, METRIC, mode)
    Console(file=output, width=200).print(made)
    lines = output.getvalue().splitlines()[1 : made.row_count + 1]
    return [line.split() for line in lines], made.caption


def test_few_members_are_all_in_their_order():
    (*rows, mean), caption = table([3.0, 1.0, np.nan], "--num-seeds", 3, diverged={"2": 7})
    assert rows == [["0", "0", "3"], ["1", "1", "1"], ["2", "2", "frozen", "at", "step", "7"]]
    assert mean == ["mean", "of", "3", "2", "±", "1.4"]
    assert caption is None


@pytest.mark.parametrize("mode", ["min", "max"])
def test_many_members_are_shown_from_the_best_to_the_worst(mode):
    values = np.random.default_rng(0).permutation(1000).astype(float)
    values[5] = np.nan  # frozen
    (*rows, mean), caption = table(values, "--num-seeds", 1000, mode=mode, diverged={"5": 3})
    shown = [float(row[-1]) for row in rows]
    assert len(shown) == 16
    assert shown == sorted(shown, reverse=mode == "max")
    assert {shown[0], shown[-1]} == {np.nanmin(values), np.nanmax(values)}
    assert [values[int(row[0])] for row in rows] == shown
    assert mean[0] == "mean"
    assert caption == "16 of 1000 members, from the best to the worst"


def test_many_settings_are_shown_from_the_best_to_the_worst():
    weights = np.arange(1, 21)
    values = np.repeat(weights[::-1], 2) + np.tile([0.0, 0.5], 20)
    rows, caption = table(values, "--num-seeds", 2, "--sweep.kl-weight", *weights)
    means = [row for row in rows if row[0] == "mean"]
    assert len(means) == 16
    assert means[0][3] == "20"  # the weight of the smallest mean
    assert means[-1][3] == "1"
    assert caption == "16 of 40 members and 16 of 20 settings, from the best to the worst"
