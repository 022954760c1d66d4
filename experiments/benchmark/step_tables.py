"""The committed times of training steps as a Markdown table."""

import json
import math
from collections.abc import Container
from pathlib import Path
from typing import Any

from experiments.benchmark.contenders import (
    BFLOAT16,
    EAGER,
    FLAX_IN_SCAN,
    PYTORCH_BFLOAT16,
    PYTORCH_FLOAT32,
    TUNED,
)
from experiments.benchmark.tables import describe_device, three_digits


def step_table(results: Path) -> str:
    """Tabulate the time of a training step: a row for each workload of each `benchmark_*.json`."""
    rows = [
        "| training step | device | jaxgen, ms | fastest PyTorch, ms | speedup (at the floor) "
        "| in bfloat16: jaxgen, PyTorch, ms | PyTorch eager, ms | plain Flax in scan, ms "
        "| products / step | floor / step |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [_row(record, device) for record, device in _records(results)]
    return "\n".join(rows)


def headline(results: Path) -> str:
    """State the range of the speedups over the fastest PyTorch, and that of the floor's share.

    Rows without a tuned PyTorch are left out.
    """
    ranges: dict[str, list[tuple[float, float]]] = {}
    for record, device in _records(results):
        if TUNED in record["milliseconds_per_step"]:
            _, ratio = fastest(record, PYTORCH_FLOAT32)
            ranges.setdefault(device, []).append((ratio, record["floor"]["share_of_step"]))
    parts = [
        f"**{_extremes([ratio for ratio, _ in found], '.2f')} times** as fast as the fastest "
        f"PyTorch; the floor is {_extremes([share for _, share in found], '.0%')} of a step "
        f"({device})"
        for device, found in ranges.items()
    ]
    return "Training steps are " + "; ".join(parts) + "."


def _extremes(values: list[float], spec: str) -> str:
    return f"{min(values):{spec}} to {max(values):{spec}}"


def _records(results: Path) -> list[tuple[dict[str, Any], str]]:
    """Read the record of each workload, with a description of the device."""
    found = []
    for path in sorted(results.glob("benchmark_*.json")):
        result = json.loads(path.read_text())
        device = describe_device(result["environment"])
        found += [(record, device) for record in result["workloads"].values()]
    return found


def fastest(record: dict[str, Any], contenders: Container[str]) -> tuple[str | None, float]:
    """Return the fastest of the contenders, and its time over jaxgen's; None, nan without any."""
    ratios = {
        name: ratio for name, ratio in record["jaxgen_is_faster_by"].items() if name in contenders
    }
    name = min(ratios, key=ratios.__getitem__, default=None)
    return name, math.nan if name is None else ratios[name]


def _row(record: dict[str, Any], device: str) -> str:
    steps = record["milliseconds_per_step"]
    ours = steps["jaxgen"]
    name, ratio = fastest(record, PYTORCH_FLOAT32)
    theirs, eager, flax = (
        three_digits(steps[contender]["median"]) if contender in steps else ""
        for contender in (name, EAGER, FLAX_IN_SCAN)
    )
    products = f"{record['products']['share_of_step']:.0%}" if "products" in record else ""
    floor_share = record["floor"]["share_of_step"]
    cells = (
        record["title"],
        device,
        f"{three_digits(ours['median'])} "
        f"({three_digits(ours['min'])} to {three_digits(ours['max'])})",
        "" if name is None else f"{theirs} ({name})",
        "" if name is None else f"**{ratio:.2f}** ({three_digits(ratio / floor_share)})",
        _in_bfloat16(record),
        eager,
        flax,
        products,
        f"{floor_share:.0%}",
    )
    return f"| {' | '.join(cells)} |"


def _in_bfloat16(record: dict[str, Any]) -> str:
    """Compare jaxgen with the fastest PyTorch, both in bfloat16."""
    steps = record["milliseconds_per_step"]
    if BFLOAT16 not in steps:
        return ""
    ours = steps[BFLOAT16]["median"]
    name, _ = fastest(record, PYTORCH_BFLOAT16)
    if name is None:
        return three_digits(ours)
    theirs = steps[name]["median"]
    return f"{three_digits(ours)}, {three_digits(theirs)} (**{theirs / ours:.2f}**)"
