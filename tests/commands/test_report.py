"""`jaxgen report`, and the report at the end of a training."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from browsing import browser, opened, scrolls_sideways, violations
from running import TINY_CGAN, TINY_VAE, jaxgen, refuse_jaxgen, start

from jaxgen.commands.train import report_training
from jaxgen.errors import InputError
from jaxgen.evaluation import classifier
from jaxgen.recipes import vae
from jaxgen.report import latents, page
from jaxgen.runner.load import load_run
from jaxgen.runs import directory, environment, json_file, records

MAX_BYTES = 5_000_000
NUM_EPOCHS = 10  # of a thousand members


@pytest.fixture(scope="module", autouse=True)
def _quick_classifiers(few_digits):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "NUM_STEPS", 60)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def vae_run(folder):
    start("vae", *TINY_VAE, "--epochs", 3, "--report", "--run-dir", folder / "vae")
    return folder / "vae"


@pytest.fixture
def copy(vae_run, tmp_path):
    """A run that a test may damage."""
    return shutil.copytree(vae_run, tmp_path / "run")


@pytest.fixture
def light(copy):
    """One without checkpoints, whose report takes no time."""
    shutil.rmtree(directory.checkpoints_path(copy))
    return copy


def change_config(run_dir, section, **values):
    config = json.loads(directory.config_path(run_dir).read_text())
    config.pop("digest", None)
    config[section] |= values
    directory.config_path(run_dir).write_text(json.dumps(config))


def report(run_dir, *options):
    jaxgen("report", run_dir, *options)
    return directory.report_path(run_dir).read_text()


def test_a_training_ends_with_a_report(vae_run):
    text = directory.report_path(vae_run).read_text()
    assert len(text) < MAX_BYTES
    assert "Missing from this report" not in text
    assert "800 training images" in text  # few
    for title in (
        "Curves",
        "All 3 epochs: training.gif",
        "after epoch 2",
        "Reconstructions",
        "Most active latents",
        "Interpolation between test images",
        "Codes of the test set",
        "Reconstructions from best to worst",
        "Samples at several temperatures",
        "How to run it again",
        "Environment",
    ):
        assert title in text


def test_a_browser_shows_it(vae_run):
    with browser() as chromium, opened(chromium, directory.report_path(vae_run), 400) as page:
        assert violations(page) == []
        widths = page.locator("img").evaluate_all("all => all.map(i => i.naturalWidth)")
        assert len(widths) >= 9
        assert all(widths)
        assert not scrolls_sideways(page)
        page.set_viewport_size({"width": 1200, "height": 900})
        assert not scrolls_sideways(page)


def test_the_settings_are_those_in_effect(vae_run):
    """Also those that the data have chosen, and none without effect."""
    text = directory.report_path(vae_run).read_text()
    for name, value in {
        "objective": "bernoulli",
        "hidden dimensions": "16, 16",
        "seed": "0",
    }.items():
        assert f'<th scope="row">{name}</th><td>{value}</td>' in text
    assert "Objective bernoulli, the ELBO of binarized pixels" in text
    for hidden in ("None", "variance</th>", "course", "Mesh(", "strategy"):
        assert hidden not in text.partition("How to run it again")[2]


def test_a_report_that_fails_does_not_fail_the_training(light, monkeypatch, capsys):
    def fail(contents):
        raise KeyError("a bug")

    before = directory.report_path(light).read_text()
    monkeypatch.setattr(page, "report", fail)
    report_training(vae.RECIPE, light)
    assert "no report: KeyError: 'a bug'" in capsys.readouterr().out
    assert directory.report_path(light).read_text() == before


def test_what_is_missing_is_said(light):
    metrics = directory.metrics_path(light)
    first, _, *others = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([first, "{damaged\n", *others, '{"epoch": 4, "step": 8}\n']))
    samples = directory.samples_path(light, 1)
    samples.write_bytes(samples.read_bytes()[:300])
    (light / "reconstructions.png").write_bytes(b"")
    directory.evaluation_path(light).write_text("[]")
    directory.environment_path(light).unlink()
    text = report(light)
    for message in (
        "metrics.jsonl: line 2 is damaged",
        "Epoch 4: it has no test/negative_elbo_nats",
        "epoch_0001.png: no intact image",
        "reconstructions.png: no intact image",
        "evaluation.json is damaged",
        "has no checkpoint yet",
        "environment.json cannot be read",
    ):
        assert message in text
    assert "Curves" in text
    assert "epoch 3" in text


def test_other_data_leave_only_the_pictures_without_them(copy):
    change_config(copy, "facts", fingerprint="another")
    text = report(copy)
    assert "is not the one that" in text
    assert "Samples at several temperatures" in text
    assert "Most active latents" not in text


def test_an_unfinished_run_has_a_report(light):
    directory.result_path(light).unlink()
    assert "The run has not finished: it is at epoch 3 of 3" in report(light)
    directory.metrics_path(light).unlink()
    assert "No epoch has ended yet" in report(light)


def test_an_evaluation_is_tabulated(copy):
    jaxgen("evaluate", copy, "--parts", "likelihood", "--num-images", 20,
           "--num-importance-samples", 60)  # fmt: skip
    results = dict(records.read_evaluation(copy))
    results["run"]["step"] = 1
    records.write_evaluation(copy, results)
    text = report(copy)
    assert "NLL (importance-weighted bound)" in text
    assert "Activity and classes" in text
    assert "The evaluation is of step 1" in text


@pytest.mark.parametrize("part", [{}, [], 1])
def test_an_evaluation_of_another_version_is_missing(light, part):
    records.write_evaluation(light, {"checkpoint": "latest", "run": 1, "likelihood": part})
    assert "The evaluation of likelihood: " in report(light)


def test_nothing_in_a_run_is_markup(light):
    copy = light.rename(light.with_name("<b>run"))
    hostile = "<script>alert(1)</script>"
    change_config(copy, "facts", class_names=[hostile, *"123456789"])
    (start,) = environment.read_starts(copy)
    start["command"] = f"python x.py '{hostile}'"
    json_file.write(directory.environment_path(copy), [start])
    text = report(copy)
    assert hostile not in text
    assert text.count("&lt;script&gt;alert(1)") == 2
    assert "<b>" not in text
    assert "<h1>&lt;b&gt;run</h1>" in text


def test_runs_are_compared(vae_run, light, folder, capsys):
    """Here the same run, and the first epochs of it as a population of another size."""
    change_config(light, "training", num_seeds=2)
    *lines, _ = records.read_metrics(light)
    lines = [as_population(line, 2) for line in lines]
    directory.metrics_path(light).write_text("".join(json.dumps(line) + "\n" for line in lines))
    records.write_evaluation(light, {"checkpoint": "latest", "run": 1, "likelihood": 1})
    jaxgen("report", vae_run, light, "--output", folder / "new" / "both.html")
    text = (folder / "new" / "both.html").read_text()
    assert "Comparison of 2 runs" in text
    assert '<th scope="row">seeds</th><td></td><td>0 to 1</td>' in text
    assert "objective</th>" not in text  # it is the same
    assert text.count('alt="Samples of') == 1
    assert "run: Samples: " in text  # are missing
    assert "needs --output" in refuse_jaxgen(capsys, "report", vae_run, light)
    same = vae_run / ".." / vae_run.name
    message = refuse_jaxgen(capsys, "report", vae_run, same, "--output", folder / "same.html")
    assert "is given twice" in message


def as_population(record, num):
    """A record whose members are all the same."""
    metrics = {key: [value] * num for key, value in record.items() if "/" in key}
    summary = {key: {"mean": values[0], "std": 0.0} for key, values in metrics.items()}
    return record | metrics | {"summary": summary, "best_member": 0, "diverged": {}}


def test_bad_requests(light, capsys, monkeypatch):
    before = directory.report_path(light).read_text()
    assert "is not a run" in refuse_jaxgen(capsys, "report", light.parent)
    (light / "a.html").mkdir()
    for name in ("report.pdf", "samples", "a.html"):
        message = refuse_jaxgen(capsys, "report", light, "--output", light / name)
        assert "give the name of an .html file" in message
    below_a_file = light / "config.json" / "report.html"
    assert "is a file" in refuse_jaxgen(capsys, "report", light, "--output", below_a_file)
    message = refuse_jaxgen(capsys, "report", light, "--output", "/proc/no/report.html")
    assert "/proc/no/report.html cannot be written" in message

    def disk_is_full(path, text):
        path.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(type(light), "write_text", disk_is_full)
    assert "No space left" in refuse_jaxgen(capsys, "report", light)
    assert directory.report_path(light).read_text() == before
    assert not list(light.glob("*.tmp"))


@pytest.mark.slow
def test_a_population_shows_its_members_and_the_effect_of_the_sweep(folder):
    options = ["--epochs", 1, "--num-seeds", 2, "--sweep.kl-weight", 1, 100, "--report"]
    start("vae", *TINY_VAE, *options, "--run-dir", folder / "population")
    text = directory.report_path(folder / "population").read_text()
    assert "Missing from this report" not in text
    assert "test negative ELBO (nats) by KL weight" in text
    assert "Samples side by side" in text
    assert text.count("<h2") == 7


@pytest.mark.slow
def test_a_cgan_shows_its_classes(folder):
    start("cgan", *TINY_CGAN, "--epochs", 1, "--report", "--run-dir", folder / "cgan")
    text = directory.report_path(folder / "cgan").read_text()
    assert "Missing from this report" not in text
    for title in ("Classes", "Interpolation of noise", "Interpolation between classes"):
        assert title in text
    run = load_run(folder / "cgan")
    learner = dataclasses.replace(run.learner, generate_mixture=None)
    own = dataclasses.replace(run, task=dataclasses.replace(run.task, learner=learner))
    *_, between_classes = latents.drawings(own, None)
    with pytest.raises(InputError, match="if it takes weights of all classes"):
        between_classes.draw()


def test_a_thousand_members_fit_into_a_page(light):
    """A population whose checkpoint is gone, with pictures of some members."""
    change_config(light, "training", num_seeds=20)
    change_config(light, "sweep", kl_weight=list(range(1, 51)))
    random = np.random.default_rng(0)
    keys = [f"{split}/{name}_nats" for split in ("train", "test")
            for name in ("negative_elbo", "reconstruction", "kl")]  # fmt: skip
    lines = []
    for epoch in range(1, NUM_EPOCHS + 1):
        values = {key: random.normal(100, 5, 1000).round(9).tolist() for key in keys}
        summary = {key: {"mean": 100.0, "std": 5.0, "min": 1.0, "max": 9.0} for key in keys}
        for value in values.values():
            value[77] = 0.0
        record = {"epoch": epoch, "step": epoch, "seconds": 1.0, "time": 0.0, **values}
        lines.append(record | {"summary": summary, "best_member": 77, "diverged": {"5": 3}})
    directory.metrics_path(light).write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = directory.samples_path(light, 3).read_bytes()
    for member in (0, 77, 999):
        path = directory.samples_path(directory.member_path(light, member), NUM_EPOCHS)
        path.parent.mkdir(parents=True)
        path.write_bytes(frame)
    text = report(light)
    assert len(text) < MAX_BYTES
    assert "16 of 1000 members and 16 of 50 settings, from the best to the worst" in text
    assert "6 of 50 settings are shown" in text
    assert "Members are frozen, since they diverged: 5 at step 3." in text
    assert "Member 77 (best)" in text
