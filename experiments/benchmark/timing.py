"""Time contenders in turns, so that a disturbance affects all of them."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

BLOCK_SECONDS = 0.7  # the minimum duration of a turn
NUM_SINGLE_STEPS = 5  # per run of a contender that dispatches its steps one by one


class Contender(NamedTuple):
    """A program to be timed."""

    run: Callable[[], None]  # returns when its steps are done
    num_steps: int


def interleave(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Measure milliseconds per step, one value per round; odd rounds run in reverse order."""
    figures = {name: [] for name in contenders}
    for i in range(rounds):
        for name in list(contenders)[:: -1 if i % 2 else 1]:
            run, num_steps = contenders[name]
            num_runs, seconds, start = 0, 0.0, time.perf_counter()
            while seconds < BLOCK_SECONDS:
                run()
                num_runs, seconds = num_runs + 1, time.perf_counter() - start
            figures[name].append(1000 * seconds / (num_runs * num_steps))
    return figures


def summary(figures: list[float]) -> dict[str, Any]:
    """Summarize the measurements of one contender: median, extremes and all values."""
    return {"median": median(figures), "min": min(figures), "max": max(figures), "rounds": figures}
