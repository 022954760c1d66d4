"""The throughput of populations by size and strategy.

    python -m experiments.benchmark population --output experiments/results/population_cpu.json

The unit is a member-step: one update of one member. For each size the strategies take turns in one
process, together with the baseline of eight single runs, one after the other. A plot is saved
beside the JSON.
"""

from pathlib import Path
from statistics import median
from typing import Any, get_args

import jax
from rich.console import Console
from rich.table import Table

from experiments.benchmark.contenders import in_scan
from experiments.benchmark.timing import Contender, interleave, summary
from experiments.benchmark.workloads import Workload
from jaxgen.pictures import curves
from jaxgen.training.population import Strategy
from jaxgen.training.sharding import layout

STUDY_SIZE = 8
SINGLE = f"{STUDY_SIZE} single runs"


def strategies(size: int) -> list[Strategy]:
    """List the strategies that a population of this size can use on this machine."""
    num_devices = jax.device_count()
    can_shard = num_devices > 1 and size % num_devices == 0
    return [name for name in get_args(Strategy) if name != "shard" or can_shard]


def single_runs(workload: Workload) -> Contender:
    """Build the baseline: a chunk of each of eight runs, one after the other."""
    runs = [in_scan(workload) for _ in range(STUDY_SIZE)]

    def run() -> None:
        for single in runs:
            single.run()

    return Contender(run, sum(single.num_steps for single in runs))


def throughput(
    workload: Workload, sizes: tuple[int, ...], rounds: int, screen: Console
) -> dict[str, Any]:
    """Measure member-steps per second for each size and strategy, summarized over the rounds.

    `share_of_single` is their median divided by that of the single runs in the same rounds.
    Populations that do not fit into the memory of the device are skipped.
    """
    by_size = {}
    for size in sizes:
        built = {}
        for name in strategies(size):
            try:
                built[name] = in_scan(workload, where=layout(size, name))
            except MemoryError as error:
                screen.print(f"Skipping {name} with {size} members: {error}.")
        built[SINGLE] = single_runs(workload)
        for contender in built.values():
            contender.run()
        rates = {
            name: [1000 / milliseconds for milliseconds in figures]
            for name, figures in interleave(built, rounds).items()
        }
        single = median(rates[SINGLE])
        by_size[str(size)] = {
            name: {**summary(figures), "share_of_single": median(figures) / single}
            for name, figures in rates.items()
        }
    return {"title": workload.title, "member_steps_per_second": by_size}


def draw(path: Path, workloads: dict[str, Any]) -> None:
    """Plot member-steps per second against the number of members, a panel for each workload."""
    panels = {}
    for record in workloads.values():
        lines = panels[record["title"]] = {}
        for size, rates in record["member_steps_per_second"].items():
            for name, rate in rates.items():
                lines.setdefault(name, {})[int(size)] = (rate["median"], rate["min"], rate["max"])
    curves.throughput(path, panels, "members", "member-steps per second")


def table(workloads: dict[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("members", "strategy", "member-steps/s", "min to max", "/ single runs"):
        result.add_column(column, justify="right")
    for record in workloads.values():
        result.add_row()
        result.add_row(record["title"], style="bold")
        for size, rates in record["member_steps_per_second"].items():
            for name, rate in rates.items():
                spread = f"{rate['min']:.1f} to {rate['max']:.1f}"
                share = f"{rate['share_of_single']:.2f}"
                result.add_row(size, name, f"{rate['median']:.1f}", spread, share)
        if study := record.get("study"):
            result.add_row("", "", "seconds in total", f"{study['seconds']:.0f}", "one study")
            processes = f"{STUDY_SIZE} processes"
            result.add_row("", "", "", f"{study['processes_seconds']:.0f}", processes)
    return result
