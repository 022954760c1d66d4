"""A process that trains for long, and prints its memory, files and threads from time to time.

Usage: `python many_runs.py runs 200 DIRECTORY` or `python many_runs.py epochs 2000 DIRECTORY`.
"""

import ctypes
import functools
import gc
import json
import os
import re
import sys
from pathlib import Path

import jax
from running import TINY_VAE

from jaxgen.commands.train import main
from jaxgen.data import builtin
from jaxgen.recipes import vae
from jaxgen.runner.outcome import Saver
from jaxgen.training import loop

NUM_REPORTS = 20


def measure(**more):
    gc.collect()
    status = Path("/proc/self/status").read_text()
    numbers = {n: int(re.findall(rf"{n}:\s+(\d+)", status)[0]) for n in ("VmRSS", "Threads")}
    print(json.dumps(numbers | {"files": len(os.listdir("/proc/self/fd"))} | more), flush=True)


def clear_caches():
    """Empty every cache that has a limit, and return free memory to the system.

    A cache without a limit is a leak, unless it is JAX's. Memory in use grows by 25 kB a run, which
    TensorStore (up to 0.1.86 at least) leaves behind when Orbax saves a state.
    """
    jax.clear_caches()
    for cache in gc.get_objects():
        if isinstance(cache, functools._lru_cache_wrapper) and cache.cache_info().maxsize:
            cache.cache_clear()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def train(*options):
    main(vae.RECIPE, program="test", args=[*TINY_VAE, *map(str, options)])


def count_traces():
    traces, train_chunk = [], loop.train_chunk

    def counted(*args):
        traces.append(1)
        return train_chunk(*args)

    loop.train_chunk = counted
    return traces


def many_runs(number, room):
    traces = count_traces()
    for i in range(1, number + 1):
        train("--epochs", 1, "--run-dir", room / str(i))
        if i % (number // NUM_REPORTS) == 0:
            clear_caches()
            measure(runs=i, traces=len(traces))


def many_epochs(number, room):
    add_epoch = Saver.add_epoch

    def measured(self, record):
        if record["epoch"] % (number // NUM_REPORTS) == 0:
            measure(epoch=record["epoch"])
        add_epoch(self, record)

    Saver.add_epoch = measured
    train("--epochs", number, "--run-dir", room / "long")


if __name__ == "__main__":
    read = builtin.read
    builtin.read = lambda split: tuple(array[::5] for array in read(split))
    kind, number, room = sys.argv[1:]
    {"runs": many_runs, "epochs": many_epochs}[kind](int(number), Path(room))
