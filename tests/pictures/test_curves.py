"""Curves, read back from the figure that is saved."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.testing import assert_allclose

from jaxgen.pictures import curves


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved."""
    saved = []
    savefig = Figure.savefig

    def save(figure, *args, **kwargs):
        saved.append(figure)
        savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", save)
    return saved


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def band(collection):
    """Lower and upper edge of a band at each of its places."""
    x, y = collection.get_paths()[0].vertices.T
    return [(y[x == place].min(), y[x == place].max()) for place in np.unique(x)]


def test_a_panel_for_each_title_and_a_line_for_each_key(figures, tmp_path):
    records = [{"epoch": epoch, "a": epoch**2, "b": -epoch} for epoch in range(1, 6)]
    curves.curves(tmp_path / "one.png", records, {"A": ["a"]})
    curves.curves(tmp_path / "two.png", records, {"A": ["a"], "B": ["a", "b"]})
    one, two = imread(tmp_path / "one.png"), imread(tmp_path / "two.png")
    assert two.shape[1] == 2 * one.shape[1]
    assert len(np.unique(one.reshape(-1, 4), axis=0)) > 10  # axes, text and lines, not a blank
    left, right = figures[1].axes
    assert (left.get_title(), right.get_title()) == ("A", "B")
    assert labels(right) == ["a", "b"]
    assert_allclose(left.lines[0].get_xydata(), [(n, n**2) for n in range(1, 6)])
    assert_allclose(right.lines[1].get_xydata(), [(n, -n) for n in range(1, 6)])


def test_a_record_without_a_key_leaves_a_gap(figures, tmp_path):
    records = [{"epoch": 1, "a": 1.0}, {"epoch": 2}, {"epoch": 3, "a": 3.0}]
    curves.curves(tmp_path / "gap.png", records, {"A": ["a"]})
    assert_allclose(figures[0].axes[0].lines[0].get_ydata(), [1, np.nan, 3])


def test_a_population_has_a_mean_in_a_band_and_a_line_for_each_member(figures, tmp_path):
    """By groups; of members that have left, null, only the others count."""
    records = [
        {"epoch": 1, "a": [1.0, 3.0, 5.0, 7.0]},
        {"epoch": 2, "a": [2.0, 6.0, None, 9.0]},
    ]
    groups = {"left": [0, 1, 2], "right": [3]}
    curves.curves(tmp_path / "population.png", records, {"A": ["a"]}, groups)
    ax = figures[0].axes[0]
    assert labels(ax) == ["a left", "a right"]
    left, *members, right, single = (line.get_ydata() for line in ax.lines)
    assert_allclose(left, [3, 4])
    assert_allclose(members, [[1, 2], [3, 6], [5, np.nan]])
    assert_allclose([right, single], [[7, 9], [7, 9]])
    deviations = [np.std([1, 3, 5], ddof=1), np.std([2, 6], ddof=1)]
    expected = [(mean - std, mean + std) for mean, std in zip([3, 4], deviations, strict=True)]
    assert_allclose(band(ax.collections[0]), expected)
    assert_allclose(band(ax.collections[1]), [(7, 7), (9, 9)])  # one member has no deviation
    colors = [to_rgb(line.get_color()) for line in ax.lines]
    assert colors == [colors[0]] * 4 + [colors[-1]] * 2  # a group's own
    assert colors[0] != colors[-1]


def test_a_thousand_members_have_a_few_lines(figures, tmp_path):
    values = np.arange(1000.0)
    records = [{"epoch": epoch, "a": (values + epoch).tolist()} for epoch in (1, 2)]
    curves.curves(tmp_path / "many.png", records, {"A": ["a"]}, {"": list(range(1000))})
    mean, *members = (line.get_ydata() for line in figures[0].axes[0].lines)
    assert_allclose(mean, [500.5, 501.5])  # of all
    assert len(members) == 16
    assert_allclose([members[0], members[-1]], [[1, 2], [1000, 1001]])


def test_a_histogram_counts_the_members_that_are_left(figures, tmp_path):
    values = np.array([*np.random.default_rng(0).normal(100, 5, 200), np.nan, np.inf])
    curves.histogram(tmp_path / "histogram.png", values, "a metric (nats)")
    ax = figures[0].axes[0]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in ax.patches]
    for low, high, count in bars[:-1]:
        assert count == ((values >= low) & (values < high)).sum()
    assert sum(count for *_, count in bars) == 200
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a metric (nats)", "members")
    assert imread(tmp_path / "histogram.png")[..., :3].std() > 0.05


def test_an_epoch_that_no_member_reached_leaves_a_gap(figures, tmp_path):
    values = [[1.0, 3.0], [None, 4.0], [None, None]]
    records = [{"epoch": epoch, "a": value} for epoch, value in enumerate(values, start=1)]
    curves.curves(tmp_path / "gap.png", records, {"A": ["a"]}, {"all": [0, 1]})
    ax = figures[0].axes[0]
    assert_allclose(np.ma.filled(ax.lines[0].get_ydata(), np.nan), [2, 4, np.nan])
    assert_allclose(band(ax.collections[0]), [(2 - 2**0.5, 2 + 2**0.5)])


def test_members_and_single_values_go_together(figures, tmp_path):
    """An epoch in which a metric was recorded once for all, or not at all."""
    records = [{"epoch": 1, "a": [1.0, 2.0]}, {"epoch": 2}, {"epoch": 3, "a": 3.0}]
    curves.curves(tmp_path / "c.png", records, {"A": ["a"]}, {"all": [0, 1]})
    ax = figures[0].axes[0]
    assert_allclose([line.get_ydata() for line in ax.lines[1:]], [[1, np.nan, 3], [2, np.nan, 3]])


def test_curves_of_one_epoch_can_be_drawn(figures, tmp_path):
    curves.curves(tmp_path / "one.png", [{"epoch": 1, "a": 2.0}], {"A": ["a"]})
    (line,) = figures[0].axes[0].lines
    assert_allclose(line.get_xydata(), [(1, 2)])
    assert line.get_marker() == "."  # a line of one point would be invisible


def test_throughput_has_a_line_with_error_bars_for_each_name(figures, tmp_path):
    rates = {1: (10.0, 8.0, 13.0), 4: (20.0, 15.0, 21.0)}
    panels = {"A": {"vmap": rates, "map": {1: (5.0, 5.0, 5.0)}}, "B": {"vmap": rates}}
    curves.throughput(tmp_path / "rates.png", panels, "members", "steps/s")
    assert imread(tmp_path / "rates.png").std() > 0
    left, right = figures[0].axes
    assert (left.get_title(), right.get_title()) == ("A", "B")
    assert (left.get_xlabel(), left.get_ylabel()) == ("members", "steps/s")
    assert labels(left) == ["vmap", "map"]
    median, _, bars = left.containers[0]
    assert_allclose(median.get_xydata(), [(1, 10), (4, 20)])
    assert_allclose(bars[0].get_segments(), [[(1, 8), (1, 13)], [(4, 15), (4, 21)]])
    assert left.get_ylim()[0] == 0


def test_the_best_epoch_is_marked_in_every_panel(figures, tmp_path):
    records = [{"epoch": epoch, "a": 1.0, "b": 2.0} for epoch in range(1, 6)]
    curves.curves(tmp_path / "c.png", records, {"A": ["a"], "B": ["b"]}, best_epoch=4)
    for ax in figures[0].axes:
        assert labels(ax)[-1] == "best epoch, 4"
        assert_allclose(ax.lines[-1].get_xdata(), [4, 4])
