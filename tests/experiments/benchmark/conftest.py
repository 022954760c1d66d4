"""A clock that only contenders of known cost advance."""

from collections.abc import Iterable

import pytest

from experiments.benchmark import startup, timing
from experiments.benchmark.timing import Contender


class Clock:
    """The time, as the module `time` tells it, and the order in which contenders ran."""

    def __init__(self):
        self.now, self.turns = 0.0, []

    def perf_counter(self) -> float:
        return self.now

    time = perf_counter

    def contender(self, name: str, seconds: Iterable[float], num_steps: int) -> Contender:
        """A contender whose runs take these seconds."""
        costs = iter(seconds)

        def run() -> None:
            self.turns.append(name)
            self.now += next(costs)

        return Contender(run, num_steps)


@pytest.fixture
def clock(monkeypatch):
    """The clock by which the benchmarks measure."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(startup, "time", clock)
    return clock
