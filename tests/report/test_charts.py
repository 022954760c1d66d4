"""The numbers of charts."""

import json
import re

import numpy as np
from numpy.testing import assert_allclose

from jaxgen.report import charts

PANELS = {"A": ("train/a", "test/a"), "B": ("b",)}


def records(num=4, members=None):
    def value(x):
        return x if members is None else [x + m for m in range(members)]

    return [
        {"epoch": n, "train/a": value(2.0 * n), "test/a": value(3.0 * n), "b": value(-n)}
        for n in range(1, num + 1)
    ]


def numbers(chart):
    """What the script reads."""
    match = re.search(r'<script type="application/json">(.*?)</script>', charts.chart(chart))
    assert match
    return json.loads(match[1])


def test_a_run_has_a_chart_for_each_panel():
    a, b = charts.of_run(records(), PANELS, 3)
    assert [(line.name, line.style) for line in a.lines] == [("train", "dashed"), ("test", "solid")]
    assert [line.name for line in b.lines] == ["b"]
    assert_allclose(a.lines[1].y, [3, 6, 9, 12])
    assert (a.mark, b.mark) == (3, 3)
    read = numbers(a)
    assert read["lines"][0]["x"] == [1, 2, 3, 4]
    assert read["lines"][1]["y"] == [3, 6, 9, 12]
    assert read["mark"] == 3


def test_missing_values_are_gaps():
    lines = [{"epoch": 1, "b": None}, {"epoch": 2}, {"epoch": 3, "b": 5.0}]
    (chart,) = charts.of_run(lines, {"B": ("b",)}, None)
    assert numbers(chart)["lines"][0]["y"] == [None, None, 5.0]


def test_a_population_has_means_in_bands_and_some_members():
    groups = {"kl_weight 1": [0, 1, 2], "kl_weight 4": [3]}
    a, _ = charts.of_population(records(members=4), PANELS, groups, [1, 3], None)
    names = [line.name for line in a.lines if line.style == "solid"]
    assert names == ["test, KL weight 1", "test, KL weight 4"]
    by_name = {line.name: line for line in a.lines}
    mean = by_name["test, KL weight 1"]
    assert_allclose(mean.y, np.array([3, 6, 9, 12]) + 1)
    assert_allclose(np.asarray(mean.spread), 1)
    assert_allclose(np.asarray(by_name["test, KL weight 4"].spread), 0)
    thin = [line.name for line in a.lines if line.style == "thin" and "test" in line.name]
    assert thin == ["test, KL weight 1, member 1", "test, KL weight 4, member 3"]
    assert_allclose(by_name[thin[0]].y, [4, 7, 10, 13])


def test_frozen_members_do_not_count():
    mean, std = charts.mean_and_std(np.array([[1.0, 3.0, np.nan], [np.nan] * 3]))
    assert_allclose(mean, [2, np.nan])
    assert_allclose(std, [2**0.5, np.nan])


def test_runs_of_all_kinds_go_together():
    runs = {"one": records(3), "many": records(4, members=2), "other": [{"epoch": 1, "c": 1.0}]}
    a, b = charts.of_runs(runs, PANELS)
    assert [line.name for line in a.lines] == [
        "one: train",
        "one: test",
        "many: train",
        "many: test",
    ]
    assert [line.color for line in a.lines] == [0, 0, 1, 1]
    assert b.lines[1].spread is not None


def test_the_effect_of_a_sweep():
    scores = np.array([1.0, 3.0, 5.0, np.nan])
    chart = charts.of_sweep("learning_rate", [1e-3, 1e-3, 1e-1, 1e-1], scores, "test/a")
    members, mean = chart.lines
    assert (chart.title, chart.log_x) == ("test a by learning rate", True)
    assert_allclose(members.x, [1e-3, 1e-3, 1e-1, 1e-1])
    assert_allclose(mean.x, [1e-3, 1e-1])
    assert_allclose(mean.y, [2, 5])
    assert not charts.of_sweep("x", [0.0, 10.0], scores[:2], "a").log_x


def test_the_metrics_of_a_run_can_be_told_apart():
    panels = {"losses": ("train/generator", "train/discriminator", "train/penalty")}
    lines = [{"epoch": 1} | dict.fromkeys(panels["losses"], 1.0)]
    (chart,) = charts.of_runs({"one": lines}, panels)
    assert [line.style for line in chart.lines] == ["solid", "dashed", "dotted"]


def test_long_lines_keep_their_ends_and_the_mark():
    (chart,) = charts.of_run(records(10_000), {"B": ("b",)}, 7777)
    read = numbers(chart)["lines"][0]
    assert len(read["x"]) <= charts.MAX_POINTS + 1
    assert {1, 7777, 10_000} <= set(read["x"])
    assert read["y"] == [-x for x in read["x"]]


def test_names_cannot_end_the_script():
    hostile = "</script><script>alert(1)</script>"
    chart = charts.Chart(hostile, "x", [charts.Line(hostile, np.ones(1), np.ones(1))])
    html = charts.chart(chart)
    assert html.count("<script") == 1
    assert numbers(chart)["title"] == hostile
