"""Training steps side by side: the time of each contender, and of the parts of jaxgen's step."""

from collections.abc import Mapping
from statistics import median
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments.benchmark import floor, products
from experiments.benchmark.contenders import PYTORCH, contenders
from experiments.benchmark.tables import three_digits
from experiments.benchmark.timing import Contender, interleave, summary
from experiments.benchmark.workloads import Workload


def build(workload: Workload, screen: Console) -> dict[str, Contender]:
    """Build and compile all contenders that work on this machine."""
    built = {}
    for name, make in contenders(workload).items():
        try:
            built[name] = make()
            built[name].run()
        except RuntimeError as error:
            if name not in PYTORCH:
                raise
            built.pop(name, None)
            reason = str(error).strip().partition("\n")[0]
            screen.print(f"Skipping {name}, which does not work here: {reason}")
    return built


def compare(workload: Workload, rounds: int, screen: Console) -> dict[str, Any]:
    """Time the contenders, the products of jaxgen's step and the peak rates, all in turns.

    `jaxgen_is_faster_by` is a contender's time divided by jaxgen's, and `share_of_step` the time of
    a part divided by jaxgen's.
    """
    built = build(workload, screen)
    rates = floor.rates()
    on_cpu = jax.default_backend() == "cpu"
    parts = {"products": products.matmuls_only(workload)} if on_cpu else {}
    figures = interleave(built | parts | rates, rounds)
    steps = {name: summary(figures[name]) for name in built}
    flop, byte = (median(figures[name]) for name in rates)
    work = floor.work(workload)
    floor_milliseconds = work.flops * flop + work.bytes * byte
    ours = steps["jaxgen"]["median"]
    record = {
        "title": workload.title,
        "milliseconds_per_step": steps,
        "jaxgen_is_faster_by": {name: step["median"] / ours for name, step in steps.items()},
        "floor": {
            "flops": work.flops,
            "bytes": work.bytes,
            "flops_per_second": 1000 / flop,
            "bytes_per_second": 1000 / byte,
            "milliseconds": floor_milliseconds,
            "share_of_step": floor_milliseconds / ours,
        },
    }
    if on_cpu:
        part = summary(figures["products"])
        record["products"] = {"milliseconds": part, "share_of_step": part["median"] / ours}
    return record


def table(workloads: Mapping[str, Any]) -> Table:
    """Tabulate the results for the terminal."""
    result = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    result.add_column("", width=19)  # "plain Flax by steps"
    for column in ("ms/step", "min to max", "ratio to\njaxgen", "compile s\ncold/cached"):
        result.add_column(column, justify="right")
    result.add_column("first step\ncold/cached", justify="right")
    result.add_column("peak\nMiB", justify="right")
    for record in workloads.values():
        result.add_row()
        result.add_row(record["title"], style="bold")
        for name, step in record["milliseconds_per_step"].items():
            result.add_row(
                name,
                *_time_cells(step),
                f"{record['jaxgen_is_faster_by'][name]:.2f}",
                *_startup_cells(record.get("startup", {}).get(name)),
            )
        if "products" in record:
            part = record["products"]
            result.add_row("products only", *_time_cells(part["milliseconds"]), _share(part))
        lower_bound = record["floor"]
        time = three_digits(lower_bound["milliseconds"])
        result.add_row("floor", time, "", _share(lower_bound))
        if "epoch_images_per_second" in record:
            result.add_row("whole epoch", "", f"{record['epoch_images_per_second']:,.0f} img/s")
    return result


def _time_cells(figures: dict[str, Any]) -> tuple[str, str]:
    least, most = three_digits(figures["min"]), three_digits(figures["max"])
    return three_digits(figures["median"]), f"{least} to {most}"


def _share(part: dict[str, Any]) -> str:
    return f"{part['share_of_step']:.2f}"


def _startup_cells(starts: dict[str, dict[str, float]] | None) -> list[str]:
    if starts is None:
        return []
    both = [
        "/".join(f"{starts[start][name]:.1f}" for start in ("cold", "cached"))
        for name in ("compile_seconds", "seconds_to_first_step")
    ]
    return [*both, f"{starts['cold']['peak_memory_mib']:.0f}"]
