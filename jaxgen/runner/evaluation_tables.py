"""The results of an evaluation as tables for the terminal."""

from typing import Any

from rich.table import Table

from jaxgen.types import JsonObject

Results = JsonObject  # evaluation.json, or a part of it

BINARIZATIONS = {
    "dynamic": "pixels binarized at random, seed {seed}",
    "fixed": "pixels binarized once and for all, as the data are",
    "none": "pixels not binarized",
    "dequantized": "pixels dequantized, seed {seed}",
}
SAMPLE_ROWS = {
    "frechet_distance": ("Fréchet distance", ".4g"),
    "kernel_distance": ("kernel distance", ".3g"),
    "kernel_distance_standard_error": ("  its standard error", ".1g"),
    "kernel_distance_std_of_subsets": ("  its std over subsets", ".1g"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "density": ("density", ".3f"),
    "coverage": ("coverage", ".3f"),
    "lowest_coverage_within_class": ("  of the worst class, within itself", ".3f"),
    "recognized": ("recognized as their class", ".2%"),
    "lowest_recognized_of_class": ("  of the worst class", ".2%"),
    "classification_accuracy_score": ("classification accuracy score", ".2%"),
    "nearer_to_training": ("nearer to training than to held-out", ".1%"),
    "median_distance_ratio": ("  median ratio of these distances", ".3f"),
}


def likelihood_table(results: Results) -> Table:
    """Tabulate the estimates of the likelihood, each with its budget and the binarization."""
    part = results["likelihood"]
    first = part["members"][0] if "members" in part else part
    binarization = BINARIZATIONS[part["binarization"]].format(seed=results["options"]["seed"])
    table = _table(f"likelihood of test images, {binarization}", "", "nats", "estimated from")
    table.caption = "In parentheses: the standard error over the images."
    test, weighted, units = (
        first[name] for name in ("test_set", "importance_weighted", "active_units")
    )
    for name in test:
        if name.endswith("_nats"):
            title = name.removesuffix("_nats").replace("_", " ")
            title = title.replace("elbo", "ELBO").replace("iwae", "IWAE bound").replace("kl", "KL")
            text = format_figure(part, ("test_set", name), ".2f")
            table.add_row(title, text, f"{test['num_images']} images, 1 latent")
    budget = f"{weighted['num_images']} images, {weighted['num_importance_samples']} latents"
    rows = {"negative_elbo_nats": "negative ELBO", "nll_nats": "NLL (importance-weighted bound)"}
    for name, title in rows.items():
        text = format_figure(part, ("importance_weighted", name), ".2f")
        table.add_row(title, f"{text} ({weighted['standard_error_nats']:.2f})", budget)
    if "bits_per_dim" in weighted:
        text = format_figure(part, ("importance_weighted", "bits_per_dim"), ".3f")
        table.add_row("NLL in bits per dimension", text, budget)
    if "annealed" in first:
        _add_annealed(table, part, first["annealed"])
    count = format_figure(part, ("active_units", "count"), ".4g")
    table.add_row(
        f"active units of {units['of']}", count, f"Cov(E[z | x]) above {units['threshold']}"
    )
    return table


def _add_annealed(table: Table, part: Results, annealed: Results) -> None:
    """Add the bounds of annealed importance sampling, and the estimates on the same images."""
    chains = f"{annealed['num_chains']} chains, {annealed['num_temperatures']} temperatures"
    rows = {
        ("test_images", "nll_nats"): "at most (annealed)",
        ("test_images", "importance_weighted_nll_nats"): "importance-weighted",
        ("simulated_images", "upper_bound_of_nll_nats"): "at most (annealed)",
        ("simulated_images", "importance_weighted_nll_nats"): "importance-weighted",
        ("simulated_images", "lower_bound_of_nll_nats"): "at least (annealed back)",
    }
    for (images, name), title in rows.items():
        num = annealed[images]["num_images"]
        text = format_figure(part, ("annealed", images, name), ".2f")
        budget = f"{num} {images.replace('_', ' ')}, {chains}"
        table.add_row(f"NLL, {title}", text, budget)


def sample_table(results: Results) -> Table:
    """Tabulate the figures of samples beside those of the real test set."""
    part = results["samples"]
    n, features = part["num_compared"], part["features"]
    title = f"{n} images of each set against {n} training images; features: {features}"
    table = _table(title, "", "samples", "real test set")
    samples, real = part["samples"], part["real_test_set"]
    first = samples["members"][0] if "members" in samples else samples
    for name, (row, spec) in SAMPLE_ROWS.items():
        if name in first:
            table.add_row(row, format_figure(samples, (name,), spec), _format(real[name], spec))
    if part["is_conditional"]:
        score = part["classification_accuracy_score"]
        table.caption = (
            f"The score is that of a classifier trained on {score['num_samples']} samples for "
            f"{score['num_steps']} steps; {score['validation_share']:.0%} were held out."
        )
    return table


def format_figure(part: Results, path: tuple[str, ...], spec: str) -> str:
    """Format a figure of a run; of a population, mean ± standard deviation."""
    if "members" not in part:
        return _format(_find(part, path), spec)
    mean, std = (_format(_find(part[name], path), spec) for name in ("mean", "std"))
    return f"{mean} ± {std}"


def _find(part: Results, path: tuple[str, ...]) -> Any:
    for name in path:
        part = part[name]
    return part


def _format(value: float | int | None, spec: str) -> str:
    return "" if value is None else f"{value:{spec}}"


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "estimated from") else "right")
    return table
