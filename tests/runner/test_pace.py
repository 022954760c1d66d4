"""How often a run is saved, by its options and the size of its state."""

import pytest

from jaxgen.runner.pace import LARGE_POPULATION, Pace, choose_pace, describe

SMALL, LARGE = int(LARGE_POPULATION), int(LARGE_POPULATION) + 1


@pytest.mark.parametrize(
    ("minutes", "within", "at_ends"),
    [(None, 600, 10), (10.0, 600, 10), (0.5, 30, 10), (0.1, 6, 6), (0.0, 0, 0)],
)
def test_minutes_apply_within_epochs_and_shorter_ones_between_them(minutes, within, at_ends):
    assert choose_pace(minutes, SMALL, is_population=True) == Pace(within, at_ends)


def test_a_large_population_keeps_one_checkpoint_unless_asked():
    assert choose_pace(None, LARGE, is_population=True) == Pace(600, 600, keep_earlier=False)
    assert choose_pace(10.0, LARGE, is_population=True) == Pace(600, 10)
    assert choose_pace(None, LARGE, is_population=False) == Pace()


def test_only_what_is_unusual_is_said():
    notice = describe(choose_pace(None, LARGE, is_population=True), LARGE)
    assert "checkpoints of 1.0 GB" in notice
    assert "one is kept (--save-every" in notice
    assert describe(Pace(), LARGE) == ""
