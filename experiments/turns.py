"""Contenders take turns, so that what disturbs the machine disturbs all of them."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from experiments.contenders import Contender

BLOCK_SECONDS = 0.7


def interleave(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Milliseconds a step, one figure a round: every second round takes the turns backwards."""
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
    """What the results keep of one contender's figures."""
    return {"median": median(figures), "min": min(figures), "max": max(figures), "rounds": figures}
