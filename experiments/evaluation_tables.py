"""The committed results of `jaxgen evaluate` as Markdown tables.

A result is the `evaluation.json` of a run, copied to `experiments/results/evaluated_NAME.json`.
"""

import json
from pathlib import Path
from typing import Any

from experiments.benchmark.tables import describe_device
from jaxgen.runner.evaluation_tables import format_figure


def likelihood_table(results: Path) -> str:
    """Tabulate the likelihoods of test images: a row for each run that has one."""
    rows = [
        "| training | NLL (nats) | negative ELBO (nats) | estimated from | active units "
        "| trained for |",
        "|---|---|---|---|---|---|",
    ]
    for result in _read(results, "likelihood"):
        part = result["likelihood"]
        weighted = _first(part)["importance_weighted"]
        nll, elbo = (
            format_figure(part, ("importance_weighted", name), ".2f")
            for name in ("nll_nats", "negative_elbo_nats")
        )
        units = format_figure(part, ("active_units", "count"), ".3g")
        rows.append(
            f"| `{result['run']['command']}` | **{nll}** | {elbo} "
            f"| {weighted['num_images']} images, {weighted['num_importance_samples']} latents "
            f"| {units} of {_first(part)['active_units']['of']} | {_training(result)} |"
        )
    return "\n".join(rows)


def samples_table(results: Path) -> str:
    """Tabulate the quality of samples; in parentheses are the figures of the real test set."""
    rows = [
        "| training | Fréchet distance | precision, recall | coverage | recognized "
        "| classification accuracy score | trained for |",
        "|---|---|---|---|---|---|---|",
    ]
    specs = {
        "frechet_distance": ".3g",
        "precision": ".2f",
        "recall": ".2f",
        "coverage": ".2f",
        "recognized": ".1%",
        "classification_accuracy_score": ".1%",
    }
    for result in _read(results, "samples"):
        part = result["samples"]
        figures = {
            name: f"{format_figure(part['samples'], (name,), spec)} "
            f"({part['real_test_set'][name]:{spec}})"
            if name in _first(part["samples"])
            else ""
            for name, spec in specs.items()
        }
        rows.append(
            f"| `{result['run']['command']}` | {figures['frechet_distance']} "
            f"| {figures['precision']}, {figures['recall']} | {figures['coverage']} "
            f"| {figures['recognized']} | {figures['classification_accuracy_score']} "
            f"| {_training(result)} |"
        )
    return "\n".join(rows)


def _read(results: Path, part: str) -> list[dict[str, Any]]:
    """Read the results that have a part."""
    read = [json.loads(path.read_text()) for path in sorted(results.glob("evaluated_*.json"))]
    return [result for result in read if part in result]


def _first(part: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a run, or of the first member of a population."""
    return part["members"][0] if "members" in part else part


def _training(result: dict[str, Any]) -> str:
    run, device = result["run"], describe_device(result["environment"])
    minutes = run["training_seconds"] / 60 / run["num_members"]
    seeds = f"{run['num_members']} members" if run["num_members"] > 1 else "1 seed"
    return (
        f"{result['dataset']['name']}, {run['epoch']} epochs, {seeds}, {minutes:.1f} min each "
        f"on {device}"
    )
