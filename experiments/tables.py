"""Writes the README's tables from the results that are committed beside this file.

    python -m experiments.tables

A result is the `result.json` of a finished run, copied to `experiments/results/`, or what
`python -m experiments.benchmark --output` has written there.
"""

import json
import math
import re
import statistics
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


def cgan_table(results: Path) -> str:
    """What the cGAN reached: a row for each command, over the seeds of its `cgan_*.json`."""
    rows = [
        "| command | recognised as the class asked for | seeds | training on |",
        "|---|---|---|---|",
    ]
    by_command: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(results.glob("cgan_*.json")):
        result = json.loads(path.read_text())
        command = re.sub(r" --seed \d+", "", result["environment"]["command"])
        by_command.setdefault(command, []).append(result)
    rows += [_cgan_row(command, of_seeds) for command, of_seeds in by_command.items()]
    return "\n".join(rows)


def _cgan_row(command: str, of_seeds: list[dict[str, Any]]) -> str:
    shares = [result["metrics"]["test/recognised"] for result in of_seeds]
    spread = f" ± {statistics.stdev(shares):.2%}" if len(shares) > 1 else ""
    seeds = ", ".join(str(result["config"]["seed"]) for result in of_seeds)
    config, environment = of_seeds[0]["config"], of_seeds[0]["environment"]
    minutes = statistics.mean(result["training_seconds"] for result in of_seeds) / 60
    return (
        f"| `{command}` | **{statistics.mean(shares):.2%}**{spread} "
        f"({environment['judge_accuracy']:.2%} of real test images) | {seeds} "
        f"| {config['dataset']}, {config['epochs']} epochs, {minutes:.1f} min on "
        f"{_device(environment)} |"
    )


def study_table(results: Path) -> str:
    """What populations reached: a row for each `study_*.json`."""
    rows = [
        "| command | test negative ELBO (nats) | best and worst | training on |",
        "|---|---|---|---|",
    ]
    for path in sorted(results.glob("study_*.json")):
        result = json.loads(path.read_text())
        config, environment, metrics = result["config"], result["environment"], result["metrics"]
        score = metrics["summary"]["test/negative_elbo_nats"]
        rows.append(
            f"| `{environment['command']}` | **{score['mean']:.2f}** ± {score['std']:.2f} "
            f"| {score['min']:.2f}, {score['max']:.2f} "
            f"| {config['dataset']}, {config['num_seeds']} seeds, {metrics['epoch']} epochs, "
            f"{result['training_seconds'] / 60:.1f} min on {_device(environment)} |"
        )
    return "\n".join(rows)


def population_table(results: Path) -> str:
    """What eight runs take together: a row for each workload of each `population_*.json`."""
    rows = [
        "| 8 runs | one after the other, steps/s | as a population: map | vmap "
        "| a study, from start to end | 8 processes |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("population_*.json")):
        result = json.loads(path.read_text())
        device = _device(result["environment"])
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
    """What streams cost: a row for each workload of each `stream_*.json`."""
    rows = [
        "| training step | from memory, ms | streamed, ms | streamed / memory "
        "| the source alone, images/s |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("stream_*.json")):
        result = json.loads(path.read_text())
        for record in result["workloads"].values():
            steps = record["milliseconds_per_step"]
            rows.append(
                f"| {record['title']}, {_device(result['environment'])} "
                f"| {steps['memory']['median']:.2f} | {steps['stream']['median']:.2f} "
                f"| **{record['stream_to_memory']:.3f}** "
                f"| {record['source_images_per_second']:,.0f} |"
            )
    return "\n".join(rows)


def benchmark_table(results: Path) -> str:
    """How long a step takes: a row for each workload of each `benchmark_*.json`.

    `torch.compile` is the faster of its modes.
    """
    rows = [
        "| training step | jaxgen, ms | PyTorch eager | torch.compile "
        "| faster than the better by | plain Flax in scan | its products / step | floor / step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("benchmark_*.json")):
        result = json.loads(path.read_text())
        device = _device(result["environment"])
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


def three_digits(number: float) -> str:
    """A positive number, from a thousand on whole."""
    decimals = max(0, 2 - math.floor(math.log10(number)))
    return f"{number:.{decimals}f}"


def _device(environment: dict[str, Any]) -> str:
    if environment["backend"] == "cpu":
        return f"{environment['cpu_count']} CPU cores"
    return f"{environment['num_devices']} x {environment['device']}"


TABLES = {
    "vae": vae_table,
    "cgan": cgan_table,
    "benchmark": benchmark_table,
    "study": study_table,
    "population": population_table,
    "stream": stream_table,
}


def fill(text: str, results: Path) -> str:
    """The text with every table between its markers made anew. Raises ValueError without these."""
    for name, table in TABLES.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        first = text.index(start) + len(start)
        text = text[:first] + table(results) + "\n" + text[text.index(end, first) :]
    return text


if __name__ == "__main__":
    README.write_text(fill(README.read_text(), RESULTS))
