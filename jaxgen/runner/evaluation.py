"""Evaluate a run: the likelihood of test images and the quality of samples, whichever it has."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key, UInt8
from rich.console import Console
from rich.progress import Progress

from jaxgen.errors import InputError
from jaxgen.evaluation import accuracy_score, classifier
from jaxgen.evaluation.classifier import NUM_FEATURES, Classifier
from jaxgen.evaluation.features import TrainedClassifier
from jaxgen.interop import fidelity
from jaxgen.runner import sample_results
from jaxgen.runner.data import DataSets, fingerprint, load_data
from jaxgen.runner.evaluation_options import (
    EvaluationOptions,
    LikelihoodOptions,
    Part,
    SampleOptions,
)
from jaxgen.runner.likelihood_results import evaluate_likelihood
from jaxgen.runner.load import Run
from jaxgen.runner.progress import progress_bar, stage
from jaxgen.runs import caches, environment, records
from jaxgen.training.population import spread_out, summarize
from jaxgen.types import JsonObject


class Evaluation(NamedTuple):
    """The results of a run, or of members of a population."""

    results: JsonObject
    """What evaluation.json holds."""
    pairs: list[UInt8[np.ndarray, "n h w c"]]
    """Of each evaluated member: samples nearest to training images, each followed by that image."""


def evaluate(
    run: Run,
    options: EvaluationOptions,
    likelihood: LikelihoodOptions,
    samples: SampleOptions,
    screen: Console,
) -> Evaluation:
    """Evaluate a run at its checkpoint.

    Raises InputError if its data set is not available or has changed, or if the model or the data
    lack what a requested part needs.
    """
    sets = load_same_data(run, options, screen)
    parts = choose_parts(run, options.parts, screen)
    if "samples" in parts:  # before the likelihood, which takes minutes
        sample_results.num_compared(sets.train, sets.test, samples)
        if samples.features == "inception":
            fidelity.require_weights()
    likelihood_key, samples_key = jax.random.split(jax.random.key(options.seed))
    members: dict[int, Run] = {0: run}
    if run.num_members is not None:
        chosen = spread_out(run.num_members, options.num_members).tolist()
        members = {index: run.member(index) for index in chosen}
        if len(chosen) < run.num_members:
            screen.print(
                f"{len(chosen)} of {run.num_members} members, evenly spaced (--num-members)"
            )
    results: dict[str, Any] = {
        "run": describe_run(run),
        "dataset": {
            "name": run.facts.dataset,
            "fingerprint": run.facts.fingerprint,
            "num_training_images": len(sets.train.label),
            "num_test_images": len(sets.test.label),
        },
        "environment": environment.environment(),
    }
    if run.num_members is not None:
        results["evaluated_members"] = list(members)
    pairs = []
    with progress_bar(screen) as progress:
        if "likelihood" in parts:
            own = []
            for member in _announced(members, progress):
                estimate = evaluate_likelihood(
                    member.learner, member.state, sets.test, likelihood, likelihood_key, progress
                )
                own.append(estimate)
            results["likelihood"] = _collect(own, run) | {"binarization": own[0]["binarization"]}
        if "samples" in parts:
            own, pairs, facts = _evaluate_samples(members, sets, samples, samples_key, progress)
            results["samples"] = facts | {"samples": _collect(own, run)}
    return Evaluation(_to_json(results), pairs)


def describe_run(run: Run) -> dict[str, object]:
    """Describe how the evaluated state was made."""
    start = environment.read_starts(run.path)[-1]
    return {
        "recipe": run.recipe.name,
        "command": records.without_directories(start["command"]),
        "step": run.step,
        "epoch": run.metrics[-1]["epoch"] if run.metrics else None,
        "training_seconds": round(sum(record["seconds"] for record in run.metrics), 1),
        "num_members": run.num_members or 1,
    }


def load_same_data(run: Run, options: EvaluationOptions, screen: Console) -> DataSets:
    """Load the data set of a run. Raises InputError if it is not there, or if it has changed."""
    given = {
        name: path
        for name in ("data_dir", "manual_dir")
        if (path := getattr(options, name)) is not None
    }
    sets = load_data(dataclasses.replace(run.options.data, **given), "auto", screen)
    if fingerprint(sets) != run.facts.fingerprint:
        raise InputError(
            f"The data set {sets.name} is not the one that {run.path} was trained on: restore it, "
            "or name its place with --data-dir."
        )
    return sets


def choose_parts(run: Run, requested: tuple[Part, ...], screen: Console) -> tuple[Part, ...]:
    """Choose the requested parts, or all that are possible; say which are not.

    Raises InputError if a requested part, or every part, is impossible.
    """
    obstacles: dict[Part, str] = {}
    if run.learner.log_weights is None:
        obstacles["likelihood"] = "the model has no encoder, so that its likelihood is unknown"
    if run.facts.num_classes < 2:
        obstacles["samples"] = (
            "the data set has no labels of two or more classes, which the classifier that compares "
            "samples with real images needs"
        )
    for part in requested:
        if part in obstacles:
            raise InputError(f"--parts {part}: {obstacles[part]}. Omit that part.")
    if len(obstacles) == 2:
        raise InputError(f"Nothing can be evaluated: {'; '.join(obstacles.values())}.")
    for part, reason in obstacles.items():
        if not requested:
            screen.print(f"without {part}: {reason}")
    possible: tuple[Part, ...] = ("likelihood", "samples")
    return requested or tuple(part for part in possible if part not in obstacles)


def _evaluate_samples(
    members: dict[int, Run],
    sets: DataSets,
    options: SampleOptions,
    key: Key[Array, ""],
    progress: Progress,
) -> tuple[list[dict[str, object]], list[UInt8[np.ndarray, "n h w c"]], dict[str, object]]:
    first = next(iter(members.values()))
    model = Classifier(first.facts.num_classes)
    cache_key = f"{first.facts.fingerprint} {classifier.describe(model)}"
    with stage(progress, "classifier of the real images"):
        tree = caches.load_or_compute(
            caches.path_for("evaluation", cache_key),
            lambda: classifier.train_and_test(model, sets.train, sets.test),
        )
    trained = TrainedClassifier(model, tree["params"])
    reference = sample_results.make_reference(sets.train, sets.test, trained, options, key)
    is_conditional = first.learner.num_classes is not None
    arguments = {"is_conditional": is_conditional, "progress": progress}
    real = sample_results.real_row(reference, trained, options, key, **arguments)
    rows, pairs = [], []
    for member in _announced(members, progress):
        row, own_pairs = sample_results.sample_row(
            member.learner, member.state, reference, trained, options, key, **arguments
        )
        rows.append(row)
        pairs.append(own_pairs)
    name = f"classifier of {sets.name} ({NUM_FEATURES} hidden units)"
    facts: dict[str, object] = {
        "features": name if options.features == "classifier" else "Inception v3 (torch-fidelity)",
        "num_samples": options.num_samples,
        "num_compared": reference.num_compared,
        "nearest_k": options.nearest_k,
        "is_conditional": is_conditional,
        "classifier_accuracy": float(tree["accuracy"]),
        "classification_accuracy_score": {
            "num_samples": min(options.num_samples, len(sets.train.label)),
            "num_steps": accuracy_score.NUM_STEPS,
            "validation_share": accuracy_score.VALIDATION_SHARE,
        },
        "class_names": list(sets.class_names),
        "real_test_set": real,
    }
    return rows, pairs, facts


def _announced(members: dict[int, Run], progress: Progress) -> Iterator[Run]:
    for index, member in members.items():
        if len(members) > 1:
            progress.console.print(f"member {index}")
        yield member


def _collect(own: list[dict[str, Any]], run: Run) -> dict[str, Any]:
    """Return the figures of a single run; of a population, those of members, mean and std."""
    if run.num_members is None:
        return own[0]
    return {"members": own, "mean": _statistic(own, "mean"), "std": _statistic(own, "std")}


def _statistic(own: list[Any], name: str) -> Any:
    """Summarize each number of the members' results; everything else is dropped."""
    first = own[0]
    if isinstance(first, dict):
        parts = {key: _statistic([one[key] for one in own], name) for key in first}
        return {key: part for key, part in parts.items() if part is not None}
    if isinstance(first, list):
        return [_statistic(list(values), name) for values in zip(*own, strict=True)]
    numbers = [np.nan if one is None else one for one in own]
    if any(isinstance(number, str | bool) for number in numbers):
        return None
    return getattr(summarize(np.array(numbers, float)), name)


def _to_json(value: Any) -> Any:
    """Replace numbers that JSON lacks by None."""
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
