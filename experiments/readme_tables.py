"""Fill the tables of the README files from the committed results.

    python -m experiments.readme_tables

A result is the `result.json` of a finished run, copied to `experiments/results/`, or the output of
`python -m experiments.benchmark --output`. Tables are filled between the markers
`<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
import statistics
from pathlib import Path
from typing import Any

from experiments import evaluation_tables
from experiments.benchmark.step_tables import headline, step_table
from experiments.benchmark.tables import (
    describe_device,
    evaluation_table,
    folder_table,
    growth_table,
    population_table,
    saving_table,
    start_table,
    stream_table,
)
from experiments.faults.tables import faults_table

SCORES = (
    ("test/recognized", ".1%", "{} of samples recognized"),
    ("test/bits_per_dim", ".3f", "negative ELBO {} bits/dim"),
    ("test/negative_elbo_nats", ".2f", "negative ELBO {} nats"),
)
# How often a run was made, where it lies, and that it was resumed, which does not change it.
OWN_OPTIONS = re.compile(r" --(num-seeds|run-dir|resume) \S+")
EXPERIMENTS = Path(__file__).parent
RESULTS = EXPERIMENTS / "results"
DOCUMENTS = (
    EXPERIMENTS.parent / "README.md",
    EXPERIMENTS / "README.md",
    EXPERIMENTS / "benchmark" / "README.md",
)


def main_table(results: Path) -> str:
    """Tabulate the scores of the main commands: a row for each `main_*.json`."""
    return _scores(results, "main_*.json")


def shapes_table(results: Path) -> str:
    """Tabulate the scores on colored shapes: a row for each `shapes_*.json`."""
    return _scores(results, "shapes_*.json")


def dtype_table(results: Path) -> str:
    """Tabulate the scores of training in bfloat16: a row for each `dtype_*.json`."""
    return _scores(results, "dtype_*.json")


def _scores(results: Path, pattern: str) -> str:
    rows = ["| command | score | seeds | training of each seed |", "|---|---|---|---|"]
    for path in sorted(results.glob(pattern), reverse=True):
        result = json.loads(path.read_text())
        num_seeds = result["training"]["num_seeds"]
        minutes = result["training_seconds"] / 60 / num_seeds
        command = OWN_OPTIONS.sub("", result["environment"]["command"])
        rows.append(
            f"| `{command}` | {_score(result['metrics'])} | {num_seeds} "
            f"| {result['facts']['dataset']}, {result['metrics']['epoch']} epochs, "
            f"{minutes:.1f} min on {describe_device(result['environment'])} |"
        )
    return "\n".join(rows)


def _score(metrics: dict[str, Any]) -> str:
    """Format the metric that selects the best checkpoint; of seeds, mean and standard deviation."""
    name, spec, text = next(score for score in SCORES if score[0] in metrics)
    if "summary" in metrics:
        summary = metrics["summary"][name]
        score = f"**{summary['mean']:{spec}}** ± {summary['std']:{spec}}"
    else:
        score = f"**{metrics[name]:{spec}}**"
    return text.format(score)


def vae_table(results: Path) -> str:
    """Tabulate the scores of VAEs: a row for each `vae_*.json`."""
    rows = ["| command | test negative ELBO (nats) | training |", "|---|---|---|"]
    rows += [_vae_row(json.loads(path.read_text())) for path in sorted(results.glob("vae_*.json"))]
    return "\n".join(rows)


def _vae_row(result: dict[str, Any]) -> str:
    environment, metrics = result["environment"], result["metrics"]
    return (
        f"| `{environment['command']}` "
        f"| **{metrics['test/negative_elbo_nats']:.2f}** "
        f"| {result['facts']['dataset']}, seed {result['training']['seed']}, "
        f"{metrics['epoch']} epochs, {_minutes(result)} on {describe_device(environment)} |"
    )


def cgan_table(results: Path) -> str:
    """Tabulate the scores of cGANs: a row for each command, over the seeds of its results."""
    rows = [
        "| command | samples recognized as the requested class | seeds | training |",
        "|---|---|---|---|",
    ]
    by_command: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(results.glob("cgan_*.json")):
        result = json.loads(path.read_text())
        command = re.sub(r" --seed \d+", "", result["environment"]["command"])
        by_command.setdefault(command, []).append(result)
    rows += [_cgan_row(command, runs) for command, runs in by_command.items()]
    return "\n".join(rows)


def _cgan_row(command: str, runs: list[dict[str, Any]]) -> str:
    first = runs[0]
    shares = [result["metrics"]["test/recognized"] for result in runs]
    spread = f" ± {statistics.stdev(shares):.2%}" if len(shares) > 1 else ""
    seeds = ", ".join(str(result["training"]["seed"]) for result in runs)
    return (
        f"| `{command}` | **{statistics.mean(shares):.2%}**{spread} "
        f"({first['metrics']['test/recognized_real']:.2%} of real test images) | {seeds} "
        f"| {first['facts']['dataset']}, {first['metrics']['epoch']} epochs, "
        f"{_minutes(*runs)} on {describe_device(first['environment'])} |"
    )


def study_table(results: Path) -> str:
    """Tabulate the scores of populations: a row for each `study_*.json`."""
    rows = [
        "| command | test negative ELBO (nats) | best and worst | training |",
        "|---|---|---|---|",
    ]
    for path in sorted(results.glob("study_*.json")):
        result = json.loads(path.read_text())
        environment, metrics = result["environment"], result["metrics"]
        score = metrics["summary"]["test/negative_elbo_nats"]
        rows.append(
            f"| `{environment['command']}` | **{score['mean']:.2f}** ± {score['std']:.2f} "
            f"| {score['min']:.2f}, {score['max']:.2f} "
            f"| {result['facts']['dataset']}, {result['training']['num_seeds']} seeds, "
            f"{metrics['epoch']} epochs, {_minutes(result)} on {describe_device(environment)} |"
        )
    return "\n".join(rows)


def _minutes(*results: dict[str, Any]) -> str:
    """Format the mean training time in minutes."""
    return f"{statistics.mean(result['training_seconds'] for result in results) / 60:.1f} min"


TABLES = {
    "main": main_table,
    "shapes": shapes_table,
    "dtype": dtype_table,
    "vae": vae_table,
    "cgan": cgan_table,
    "study": study_table,
    "benchmark": step_table,
    "speed": headline,
    "population": population_table,
    "stream": stream_table,
    "saving": saving_table,
    "growth": growth_table,
    "start": start_table,
    "faults": faults_table,
    "folder": folder_table,
    "evaluation": evaluation_table,
    "likelihood": evaluation_tables.likelihood_table,
    "samples": evaluation_tables.samples_table,
}
START = "<!-- table: "
MARKED = re.compile(rf"({START}(\w+) -->\n)((?!{START}).)*?(<!-- end -->)", re.DOTALL)


def fill(text: str, results: Path) -> str:
    """Fill the tables between markers; the rest of the text is unchanged.

    Raises ValueError for a table with an unknown name, or without an end marker.
    """

    def new_table(match: re.Match[str]) -> str:
        start, name, _, end = match.groups()
        if name not in TABLES:
            raise ValueError(f"There is no table {name}: choose from {', '.join(TABLES)}.")
        return f"{start}{TABLES[name](results)}\n{end}"

    filled, num_tables = MARKED.subn(new_table, text)
    if num_tables != text.count(START):
        raise ValueError("A table has no end: add the line <!-- end -->.")
    return filled


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(fill(path.read_text(), RESULTS))
