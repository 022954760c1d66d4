"""The committed results of the benchmarks as Markdown tables."""

import json
import math
from pathlib import Path
from typing import Any

SAVING_COLUMNS = (  # each cost without digests, then with them
    "state, MB",
    "epoch, s",
    "a checkpoint, ms",
    "share of one epoch",
    "epochs between checkpoints",
    "share of training",
)


def benchmark_table(results: Path) -> str:
    """Tabulate the time of a training step: a row for each workload of each `benchmark_*.json`.

    The time of `torch.compile` is that of its faster mode.
    """
    rows = [
        "| training step | jaxgen, ms | PyTorch eager | torch.compile "
        "| speedup over the faster PyTorch | plain Flax in scan | products / step | floor / step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("benchmark_*.json")):
        result = json.loads(path.read_text())
        device = describe_device(result["environment"])
        rows += [_benchmark_row(record, device) for record in result["workloads"].values()]
    return "\n".join(rows)


def _benchmark_row(record: dict[str, Any], device: str) -> str:
    steps = record["milliseconds_per_step"]
    ours = steps["jaxgen"]
    eager, compiled, flax = (
        min(
            (step["median"] for name, step in steps.items() if name.startswith(prefix)),
            default=None,
        )
        for prefix in ("PyTorch eager", "torch.compile", "plain Flax in scan")
    )
    ratios = [other / ours["median"] for other in (eager, compiled) if other is not None]
    eager, compiled, flax = (
        "" if other is None else three_digits(other) for other in (eager, compiled, flax)
    )
    products = f"{record['products']['share_of_step']:.0%}" if "products" in record else ""
    return (
        f"| {record['title']}, {device} "
        f"| {three_digits(ours['median'])} "
        f"({three_digits(ours['min'])} to {three_digits(ours['max'])}) "
        f"| {eager} | {compiled} | {f'**{min(ratios):.2f}**' if ratios else ''} | {flax} "
        f"| {products} | {record['floor']['share_of_step']:.0%} |"
    )


def population_table(results: Path) -> str:
    """Compare populations of eight with eight single runs: a row for each workload."""
    rows = [
        "| 8 runs | single runs in turn, steps/s | map / single | vmap / single "
        "| one study, start to end | 8 processes, start to end |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("population_*.json")):
        result = json.loads(path.read_text())
        device = describe_device(result["environment"])
        rows += [
            _population_row(record, device)
            for record in result["workloads"].values()
            if "8" in record["member_steps_per_second"]
        ]
    return "\n".join(rows)


def _population_row(record: dict[str, Any], device: str) -> str:
    rates = record["member_steps_per_second"]["8"]
    together = [
        f"**{rates[name]['share_of_single']:.2f}**" if name in rates else ""
        for name in ("map", "vmap")
    ]
    study = record.get("study", {})
    seconds = [f"{study[name]:.0f} s" if study else "" for name in ("seconds", "processes_seconds")]
    single = f"{rates['8 single runs']['median']:.0f}"
    title = f"{record['title']}, {device}"
    return f"| {' | '.join([title, single, *together, *seconds])} |"


def stream_table(results: Path) -> str:
    """Tabulate the cost of streaming: a row for each workload of each `stream_*.json`."""
    rows = [
        "| training step | from memory, ms | streamed, ms | streamed / memory "
        "| source only, images/s |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("stream_*.json")):
        result = json.loads(path.read_text())
        for record in result["workloads"].values():
            steps = record["milliseconds_per_step"]
            rows.append(
                f"| {record['title']}, {describe_device(result['environment'])} "
                f"| {steps['memory']['median']:.2f} | {steps['stream']['median']:.2f} "
                f"| **{record['stream_to_memory']:.3f}** "
                f"| {record['source_images_per_second']:,.0f} |"
            )
    return "\n".join(rows)


def saving_table(results: Path) -> str:
    """Tabulate the cost of checkpoints: a row for each workload of each `saving_*.json`."""
    columns = ("model", *SAVING_COLUMNS)
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for path in sorted(results.glob("saving_*.json")):
        result = json.loads(path.read_text())
        device = describe_device(result["environment"])
        rows += [
            f"| {record['title']}, {device} | {' | '.join(saving_cells(record))} |"
            for record in result["workloads"].values()
        ]
    return "\n".join(rows)


def saving_cells(record: dict[str, Any]) -> list[str]:
    """Format the figures of a workload, in the order of SAVING_COLUMNS."""
    return [
        f"{record['megabytes']:.0f}",
        f"{record['epoch_seconds']:.1f}",
        _both(record["checkpoint_milliseconds"], ".0f"),
        _both(record["share_of_epoch"], ".2%"),
        f"{record['epochs_between_checkpoints']}",
        _both(record["share_of_training"], ".2%"),
    ]


def _both(costs: dict[str, float], spec: str) -> str:
    return f"{costs['without']:{spec}}, {costs['with']:{spec}}"


def folder_table(results: Path) -> str:
    """Tabulate the reading of large folders: a row for each `folder_*.json`."""
    rows = [
        "| images | first read, images/s | from the cache, s | streamed, images/s "
        "| peak memory of reading, MB | with streaming, MB |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("folder_*.json")):
        record = json.loads(path.read_text())
        result, size = record["results"], record["size"]
        device = describe_device(record["environment"])
        rows.append(
            f"| {result['num_images']:,} of {size}x{size}x3, {device} "
            f"| {result['first_read_images_per_second']:,.0f} "
            f"| {result['second_read_seconds']:.1f} "
            f"| {result['streamed_images_per_second']:,.0f} "
            f"| **{result['peak_anonymous_bytes_of_reading'] / 1e6:,.0f}** "
            f"| **{result['peak_anonymous_bytes'] / 1e6:,.0f}** |"
        )
    return "\n".join(rows)


def evaluation_table(results: Path) -> str:
    """Tabulate the cost of evaluations: a row for each job of each `evaluation_*.json`."""
    rows = [
        "| evaluation | seconds | at most | CPU seconds | peak memory, MiB |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("evaluation_*.json")):
        result = json.loads(path.read_text())
        device = describe_device(result["environment"])
        rows += [
            f"| {job['title']}, {device} | **{job['seconds']:.0f}** | {job['limit_seconds']} "
            f"| {job['cpu_seconds']:.0f} | {job['peak_memory_mib']:,.0f} |"
            for job in result["jobs"].values()
        ]
    return "\n".join(rows)


def three_digits(number: float) -> str:
    """Format a positive number to three significant digits, or as an integer from 1000 on."""
    decimals = max(0, 2 - math.floor(math.log10(number)))
    return f"{number:.{decimals}f}"


def describe_device(environment: dict[str, Any]) -> str:
    """Describe the device: the number of CPU cores, or the number and kind of accelerators."""
    if environment["backend"] == "cpu":
        count = environment["cpu_count"]
        return f"{count} CPU core" + "s" * (count > 1)
    return f"{environment['num_devices']} x {environment['device']}"
