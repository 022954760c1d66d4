"""Committed evaluations become rows, of single runs and of populations."""

import json

from experiments import evaluation_tables

ENVIRONMENT = {"backend": "cpu", "cpu_count": 2, "device": "cpu", "num_devices": 1}


def write(folder, name, num_members, **parts):
    run = {
        "command": "python -m x",
        "epoch": 3,
        "training_seconds": 240,
        "num_members": num_members,
    }
    result = {"run": run, "dataset": {"name": "mnist"}, "environment": ENVIRONMENT, **parts}
    (folder / f"evaluated_{name}.json").write_text(json.dumps(result))


def likelihood(nll):
    weighted = {
        "num_images": 500,
        "num_importance_samples": 5000,
        "nll_nats": nll,
        "negative_elbo_nats": nll + 5,
    }
    return {"importance_weighted": weighted, "active_units": {"count": 20, "of": 32}}


def test_a_likelihood_has_a_row(tmp_path):
    write(tmp_path, "a", 1, likelihood=likelihood(86.756))
    _, _, row = evaluation_tables.likelihood_table(tmp_path).splitlines()
    assert row == (
        "| `python -m x` | **86.76** | 91.76 | 500 images, 5000 latents | 20 of 32 "
        "| mnist, 3 epochs, 1 seed, 4.0 min each on 2 CPU cores |"
    )
    assert evaluation_tables.samples_table(tmp_path).count("\n") == 1  # no row


def test_a_population_has_means_and_standard_deviations(tmp_path):
    std = {"importance_weighted": {"nll_nats": 0.5, "negative_elbo_nats": 0.7}}
    part = {
        "members": [likelihood(86.0), likelihood(87.0)],
        "mean": likelihood(86.5),
        "std": std | {"active_units": {"count": 1.5}},
    }
    write(tmp_path, "a", 2, likelihood=part)
    _, _, row = evaluation_tables.likelihood_table(tmp_path).splitlines()
    assert "| **86.50 ± 0.50** | 91.50 ± 0.70 |" in row
    assert "| 20 ± 1.5 of 32 | mnist, 3 epochs, 2 members, 2.0 min each on" in row


def test_samples_have_a_row_beside_the_real_test_set(tmp_path):
    figures = {"frechet_distance": 6.0, "precision": 0.9, "recall": 0.5, "coverage": 0.8}
    conditional = {"recognized": 0.97, "classification_accuracy_score": 0.91}
    real = dict.fromkeys(figures | conditional, 1.0)
    write(tmp_path, "a", 1, samples={"samples": figures | conditional, "real_test_set": real})
    write(
        tmp_path, "b", 1, samples={"samples": figures, "real_test_set": dict.fromkeys(figures, 1.0)}
    )
    _, _, one, other = evaluation_tables.samples_table(tmp_path).splitlines()
    assert "| 6 (1) | 0.90 (1.00), 0.50 (1.00) | 0.80 (1.00) | 97.0% (100.0%) " in one
    assert "| 91.0% (100.0%) |" in one
    assert "| 0.80 (1.00) |  |  |" in other
