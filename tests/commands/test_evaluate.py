"""`jaxgen evaluate` as its user meets it."""

import contextlib
import io
import json
import sys
from unittest.mock import ANY

import numpy as np
import pytest
from matplotlib.image import imread
from running import JAXGEN, TINY_CGAN, TINY_VAE, fail, jaxgen, refuse_jaxgen, start

from jaxgen import load_run
from jaxgen.evaluation import accuracy_score, classifier
from jaxgen.runs import directory, lock

QUICK = ["--num-images", 20, "--num-importance-samples", 60, "--num-samples", 200]
ANNEALING = ["--annealing", "--num-annealed", 6, "--num-chains", 2, "--num-temperatures", 8]


@pytest.fixture(scope="module", autouse=True)
def _quick_classifiers(few_digits):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "NUM_STEPS", 60)
        patch.setattr(accuracy_score, "NUM_STEPS", 30)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def vae_run(folder):
    """A run of three epochs."""
    start("vae", *TINY_VAE, "--epochs", 3, "--run-dir", folder / "vae")
    return folder / "vae"


@pytest.fixture(scope="module")
def cgan_run(folder):
    start("cgan", *TINY_CGAN, "--epochs", 1, "--run-dir", folder / "cgan")
    return folder / "cgan"


@pytest.fixture(scope="module")
def population(folder):
    options = ["--num-seeds", 2, "--epochs", 1, "--run-dir", folder / "population"]
    start("vae", *TINY_VAE, *options)
    return folder / "population"


def evaluate(run_dir, *options):
    jaxgen("evaluate", run_dir, *QUICK, *options)
    return json.loads(directory.evaluation_path(run_dir).read_text())


@pytest.fixture(scope="module")
def vae_results(vae_run):
    """An evaluation with everything, and what it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        return evaluate(vae_run, *ANNEALING), output.getvalue()


def test_a_vae_has_a_likelihood_and_samples(vae_run, vae_results):
    results, output = vae_results
    assert results["run"]["step"] == 6
    assert results["run"]["epoch"] == 3
    assert results["options"]["num_importance_samples"] == 60
    likelihood = results["likelihood"]
    assert likelihood["binarization"] == "dynamic"
    assert likelihood["test_set"]["num_images"] == 200
    weighted = likelihood["importance_weighted"]
    assert 0 < weighted["nll_nats"] < weighted["negative_elbo_nats"]
    assert weighted["num_images"] == 20
    assert 1 <= weighted["median_effective_samples"] <= 60
    units = likelihood["active_units"]
    assert 0 <= units["count"] <= units["of"] == 4
    simulated = likelihood["annealed"]["simulated_images"]
    assert simulated["num_images"] == 6
    assert simulated["gap_nats"] == pytest.approx(
        simulated["upper_bound_of_nll_nats"] - simulated["lower_bound_of_nll_nats"], abs=1e-3
    )
    samples = results["samples"]
    assert not samples["is_conditional"]
    assert samples["num_compared"] == 200
    assert "recognized" not in samples["samples"]
    assert samples["samples"]["frechet_distance"] > samples["real_test_set"]["frechet_distance"]
    assert "pixels binarized at random, seed 0" in output
    assert "200 images of each set against 200 training images" in output
    assert "classifier of mnist_5k" in output
    assert f"{weighted['nll_nats']:.2f}" in output
    for name in ("evaluation.png", "neighbors.png"):
        assert imread(vae_run / name).std() > 0.01


def test_a_cgan_has_classes_and_no_likelihood(cgan_run, capsys):
    results = evaluate(cgan_run)
    assert "likelihood" not in results
    assert "without likelihood: the model has no encoder" in capsys.readouterr().out
    part = results["samples"]
    assert part["is_conditional"]
    assert part["class_names"] == [str(digit) for digit in range(10)]
    score = part["classification_accuracy_score"]
    assert score == {"num_samples": 200, "num_steps": 30, "validation_share": 0.1}
    for row in (part["samples"], part["real_test_set"]):
        assert len(row["recognized_by_class"]) == len(row["coverage_within_classes"]) == 10
        assert row["recognized"] == pytest.approx(np.mean(row["recognized_by_class"]), abs=0.1)
        assert row["lowest_recognized_of_class"] == min(row["recognized_by_class"])
        assert 0 <= row["classification_accuracy_score"] <= 1
    assert part["real_test_set"]["recognized"] == pytest.approx(part["classifier_accuracy"])
    assert part["real_test_set"]["coverage"] > 0.5
    assert imread(cgan_run / "evaluation.png").std() > 0.01


def test_an_evaluation_is_a_function_of_its_seed(vae_run, vae_results):
    one, same = vae_results[0], evaluate(vae_run)
    assert one["samples"] == same["samples"]
    likelihood = {name: one["likelihood"][name] for name in one["likelihood"] if name != "annealed"}
    assert likelihood == same["likelihood"]  # annealing changes nothing else
    other = evaluate(vae_run, "--seed", 1, "--parts", "likelihood")["likelihood"]
    assert likelihood["importance_weighted"] != other["importance_weighted"]


def test_members_are_evaluated_like_single_runs(population, folder):
    results = evaluate(population)
    jaxgen("extract", population, 1, folder / "solo")
    solo = evaluate(folder / "solo")
    members = [results["likelihood"]["members"], results["samples"]["samples"]["members"]]
    assert members[0][1] == solo["likelihood"]
    assert members[1][1] == solo["samples"]["samples"]
    assert results["samples"]["real_test_set"] == solo["samples"]["real_test_set"]
    nlls = [member["importance_weighted"]["nll_nats"] for member in members[0]]
    likelihood = results["likelihood"]
    assert likelihood["mean"]["importance_weighted"]["nll_nats"] == pytest.approx(np.mean(nlls))
    assert likelihood["std"]["importance_weighted"]["nll_nats"] == pytest.approx(
        np.std(nlls, ddof=1)
    )
    assert (directory.member_path(population, 1) / "neighbors.png").exists()


def test_of_many_members_some_are_evaluated(population, capsys):
    places = [directory.member_path(population, member) for member in range(2)]
    for place in places:
        (place / "neighbors.png").unlink(missing_ok=True)
    results = evaluate(population, "--num-members", 1)
    assert "1 of 2 members, evenly spaced" in capsys.readouterr().out
    assert results["evaluated_members"] == [0]
    assert len(results["likelihood"]["members"]) == 1
    assert [(place / "neighbors.png").exists() for place in places] == [True, False]
    message = refuse_jaxgen(capsys, "evaluate", population, "--num-members", 0)
    assert "--num-members must be positive" in message


def test_a_checkpoint_can_be_chosen(vae_run):
    best = load_run(vae_run, "best").step
    with lock.hold(vae_run):  # as while it trains
        results = evaluate(vae_run, "--parts", "likelihood", "--checkpoint", "best")
    assert results["run"]["step"] == best
    assert results["checkpoint"] == "best"
    assert evaluate(vae_run, "--parts", "likelihood", "--checkpoint", best) == results | {
        "checkpoint": best,
        "environment": ANY,
        "digest": ANY,
    }


def test_what_is_missing_is_named(vae_run, cgan_run, tmp_path, capsys, monkeypatch):
    message = refuse_jaxgen(capsys, "evaluate", cgan_run, "--parts", "likelihood")
    assert "--parts likelihood: the model has no encoder" in message
    (tmp_path / "config.json").write_text((vae_run / "config.json").read_text())
    assert "has no checkpoint yet" in refuse_jaxgen(capsys, "evaluate", tmp_path)
    message = refuse_jaxgen(capsys, "evaluate", vae_run, "--num-samples", 20)
    assert "sets of 20 images mean little: at least 50" in message
    monkeypatch.setitem(sys.modules, "torch_fidelity.registry", None)
    message = refuse_jaxgen(capsys, "evaluate", vae_run, "--features", "inception")
    assert "run pip install 'jaxgen[fid]'" in message
    message = refuse_jaxgen(capsys, "evaluate", vae_run, "--num-images", 0)
    assert "--num-images must be positive" in message


def test_other_data_than_the_run_s_are_refused(vae_run, capsys, monkeypatch):
    from jaxgen.data import builtin

    read = builtin.read
    monkeypatch.setattr(builtin, "read", lambda split: tuple(array[::2] for array in read(split)))
    message = refuse_jaxgen(capsys, "evaluate", vae_run)
    assert "The data set mnist_5k is not the one that" in message


def test_a_process_without_the_data_set_says_so(cgan_run, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    config = json.loads((cgan_run / "config.json").read_text())
    config.pop("digest")
    config["data"]["dataset"] = config["facts"]["dataset"] = "kmnist"
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "checkpoints").symlink_to(cgan_run / "checkpoints")
    message = fail(JAXGEN, "evaluate", copy, "--data-dir", tmp_path, cwd=tmp_path)
    assert "kmnist" in message


def test_samples_that_are_not_finite_are_named(vae_run, capsys, monkeypatch):
    from jaxgen.runner import load

    restore = load.restore

    def damaged(*args):
        state = restore(*args)
        params = state.network.params
        params["final"]["bias"] = params["final"]["bias"] * np.nan
        return state

    monkeypatch.setattr(load, "restore", damaged)
    message = refuse_jaxgen(capsys, "evaluate", vae_run, *QUICK, "--parts", "samples")
    assert "draws samples that are not finite" in message


@pytest.mark.slow
def test_data_with_one_class_have_a_likelihood_only(tmp_path, capsys, monkeypatch):
    from jaxgen.data import builtin

    read = builtin.read

    def zeros(split):
        image, label = read(split)
        return image[label == 0], label[label == 0]

    monkeypatch.setattr(builtin, "read", zeros)
    monkeypatch.setattr(builtin, "CLASS_NAMES", ("0",))
    options = ["--objective", "logistic", "--batch-size", 40, "--run-dir", tmp_path / "run"]
    start("vae", *TINY_VAE, "--epochs", 1, *options)
    results = evaluate(tmp_path / "run")
    assert results["likelihood"]["binarization"] == "none"
    weighted = results["likelihood"]["importance_weighted"]
    bits = weighted["nll_nats"] / (32 * 32 * np.log(2))
    assert weighted["bits_per_dim"] == pytest.approx(bits, rel=1e-4)
    assert "samples" not in results
    assert "without samples: the data set has no labels of two" in capsys.readouterr().out
    message = refuse_jaxgen(capsys, "evaluate", tmp_path / "run", "--parts", "samples")
    assert "--parts samples: the data set has no labels of two or more classes" in message
