"""Contenders run in turns, and their figures are milliseconds per step."""

from itertools import repeat

from experiments.benchmark import timing


def test_contenders_take_turns_there_and_back(clock):
    subjects = {
        "slow": clock.contender("slow", repeat(2.0), num_steps=4),
        "fast": clock.contender("fast", repeat(0.25), num_steps=5),
    }
    figures = timing.interleave(subjects, rounds=3)
    there, back = ["slow", "fast", "fast", "fast"], ["fast", "fast", "fast", "slow"]
    assert clock.turns == there + back + there
    assert figures == {"slow": [500.0] * 3, "fast": [50.0] * 3}


def test_a_disturbed_round_moves_the_maximum_but_not_the_median(clock):
    contender = clock.contender("disturbed", [1.0, 9.0, 1.0], num_steps=10)
    summary = timing.summary(timing.interleave({"disturbed": contender}, rounds=3)["disturbed"])
    assert summary == {"median": 100, "min": 100, "max": 900, "rounds": [100, 900, 100]}


def test_real_time_is_measured_for_a_whole_turn(monkeypatch):
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0.02)
    sleep = timing.Contender(lambda: timing.time.sleep(0.002), num_steps=2)
    (milliseconds,) = timing.interleave({"sleep": sleep}, rounds=1)["sleep"]
    assert 1.0 <= milliseconds < 50  # a busy machine wakes up late
