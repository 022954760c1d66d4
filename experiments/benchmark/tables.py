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

GROWTH_COLUMNS = ("model", "series", "ms/step", "slope", "memory, MiB", "slope")


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


def growth_table(results: Path) -> str:
    """Tabulate the growth of a step: two rows for each workload of each `growth_*.json`."""
    rows = [f"| {' | '.join(GROWTH_COLUMNS)} |", "|---" * len(GROWTH_COLUMNS) + "|"]
    for path in sorted(results.glob("growth_*.json")):
        for record in json.loads(path.read_text())["workloads"].values():
            rows += [
                f"| {' | '.join(growth_cells(record, axis))} |" for axis in ("pixels", "batch")
            ]
    return "\n".join(rows)


def growth_cells(record: dict[str, Any], axis: str) -> list[str]:
    """Format the figures of a series, in the order of GROWTH_COLUMNS."""
    points, slopes = record[axis]["points"], record[axis]["slopes"]
    images, batches = (
        list(dict.fromkeys(f"{point[name]}" for point in points))
        for name in ("image_size", "batch_size")
    )
    figures = [
        [", ".join(three_digits(point[name]) for point in points), f"**{slopes[name]:.2f}**"]
        for name in ("milliseconds", "mebibytes")
    ]
    series = f"images of {', '.join(images)} pixels a side, batch of {', '.join(batches)}"
    return [record["title"], series, *figures[0], *figures[1]]


def start_table(results: Path) -> str:
    """Tabulate the time to the first step: a row for each `first_step_*.json`."""
    rows = [
        "| device | first step, nothing compiled, s | first step, cached programs, s "
        "| `import jax`, s | `import jaxgen`, s |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("first_step_*.json")):
        result = json.loads(path.read_text())
        figures = [
            f"{result['seconds'][name]['median']:.2f}"
            for name in ("cold", "cached", "jax", "jaxgen")
        ]
        rows.append(f"| {' | '.join([describe_device(result['environment']), *figures])} |")
    return "\n".join(rows)


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
    """Describe the device: CPU cores, with their model if recorded, or accelerators."""
    if environment["backend"] == "cpu":
        count, processor = environment["cpu_count"], environment.get("processor")
        cores = f"{count} {'' if processor else 'CPU '}core{'s' * (count > 1)}"
        if not processor:
            return cores
        return f"{cores} of {processor['name']} ({processor['family_model_stepping']})"
    return f"{environment['num_devices']} x {environment['device']}"
