"""Writes the README's tables from the results that are committed beside this file.

    python -m experiments.tables

A result is the `result.json` of a finished run, copied to `experiments/results/`.
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


def _device(environment: dict[str, Any]) -> str:
    if environment["backend"] == "cpu":
        return f"{environment['cpu_count']} CPU cores"
    return f"{environment['num_devices']} x {environment['device']}"


TABLES = {"vae": vae_table}


def fill(text: str, results: Path) -> str:
    """The text with every table between its markers made anew. Raises ValueError without these."""
    for name, table in TABLES.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        first = text.index(start) + len(start)
        text = text[:first] + table(results) + "\n" + text[text.index(end, first) :]
    return text


if __name__ == "__main__":
    README.write_text(fill(README.read_text(), RESULTS))
