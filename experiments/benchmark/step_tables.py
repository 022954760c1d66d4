"""The committed times of training steps as a Markdown table."""

import json
import math
from pathlib import Path
from typing import Any

from experiments.benchmark.contenders import BFLOAT16, EAGER, FLAX_IN_SCAN, PYTORCH, TUNED
from experiments.benchmark.tables import describe_device, three_digits


def step_table(results: Path) -> str:
    """Tabulate the time of a training step: a row for each workload of each `benchmark_*.json`."""
    rows = [
        "| training step | device | jaxgen, ms | in bfloat16, ms | fastest PyTorch, ms "
        "| speedup (at the floor) | PyTorch eager, ms | plain Flax in scan, ms | products / step "
        "| floor / step |",
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
            _, ratio = fastest_pytorch(record)
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


def fastest_pytorch(record: dict[str, Any]) -> tuple[str | None, float]:
    """Return the fastest PyTorch contender, and its time over jaxgen's; None, nan without any."""
    ratios = {
        name: ratio for name, ratio in record["jaxgen_is_faster_by"].items() if name in PYTORCH
    }
    name = min(ratios, key=ratios.__getitem__, default=None)
    return name, math.nan if name is None else ratios[name]


def _row(record: dict[str, Any], device: str) -> str:
    steps = record["milliseconds_per_step"]
    ours = steps["jaxgen"]
    fastest, ratio = fastest_pytorch(record)
    bfloat16, theirs, eager, flax = (
        three_digits(steps[name]["median"]) if name in steps else ""
        for name in (BFLOAT16, fastest, EAGER, FLAX_IN_SCAN)
    )
    products = f"{record['products']['share_of_step']:.0%}" if "products" in record else ""
    floor_share = record["floor"]["share_of_step"]
    cells = (
        record["title"],
        device,
        f"{three_digits(ours['median'])} "
        f"({three_digits(ours['min'])} to {three_digits(ours['max'])})",
        bfloat16,
        "" if fastest is None else f"{theirs} ({fastest})",
        "" if fastest is None else f"**{ratio:.2f}** ({three_digits(ratio / floor_share)})",
        eager,
        flax,
        products,
        f"{floor_share:.0%}",
    )
    return f"| {' | '.join(cells)} |"
