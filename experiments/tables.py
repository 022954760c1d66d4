"""Writes the README's tables from the results that are committed beside this file.

    python -m experiments.tables

A result is the `result.json` of a finished run, copied to `experiments/results/`, or what
`python -m experiments.benchmark --output` has written there.
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"


def vae_table(results: Path) -> str:
    """What the VAE reached: a row for each `vae_*.json`."""
    rows = ["| command | test negative ELBO (nats) | training on |", "|---|---|---|"]
    rows += [_vae_row(json.loads(path.read_text())) for path in sorted(results.glob("vae_*.json"))]
    return "\n".join(rows)


def _vae_row(result: dict[str, Any]) -> str:
    config, environment, metrics = result["config"], result["environment"], result["metrics"]
    minutes = result["training_seconds"] / 60
    return (
        f"| `{environment['command']}` "
        f"| **{metrics['test/negative_elbo_nats']:.2f}** "
        f"| {config['dataset']}, seed {config['seed']}, {metrics['epoch']} epochs, "
        f"{minutes:.1f} min on {_device(environment)} |"
    )


def benchmark_table(results: Path) -> str:
    """How long a step takes: a row for each workload of each `benchmark_*.json`."""
    rows = [
        "| training step | jaxgen, ms | PyTorch eager | torch.compile "
        "| faster than the better by | plain Flax in scan | floor / step |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("benchmark_*.json")):
        result = json.loads(path.read_text())
        device = _device(result["environment"])
        rows += [_benchmark_row(record, device) for record in result["workloads"].values()]
    return "\n".join(rows)


def _benchmark_row(record: dict[str, Any], device: str) -> str:
    steps = record["milliseconds_per_step"]
    ours = steps["jaxgen"]
    others = ("PyTorch eager", "torch.compile")
    ratios = [record["jaxgen_is_faster_by"][name] for name in others if name in steps]
    eager, compiled, flax = (
        f"{steps[name]['median']:.0f}" if name in steps else ""
        for name in (*others, "plain Flax in scan")
    )
    return (
        f"| {record['title']}, {device} "
        f"| {ours['median']:.1f} ({ours['min']:.1f} to {ours['max']:.1f}) "
        f"| {eager} | {compiled} | {f'**{min(ratios):.2f}**' if ratios else ''} | {flax} "
        f"| {record['floor']['share_of_step']:.0%} |"
    )


def _device(environment: dict[str, Any]) -> str:
    if environment["backend"] == "cpu":
        return f"{environment['cpu_count']} CPU cores"
    return f"{environment['num_devices']} x {environment['device']}"


TABLES = {"vae": vae_table, "benchmark": benchmark_table}


def fill(text: str, results: Path) -> str:
    """The text with every table between its markers made anew. Raises ValueError without these."""
    for name, table in TABLES.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        first = text.index(start) + len(start)
        text = text[:first] + table(results) + "\n" + text[text.index(end, first) :]
    return text


if __name__ == "__main__":
    README.write_text(fill(README.read_text(), RESULTS))
