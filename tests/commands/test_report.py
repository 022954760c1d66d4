"""`jaxgen report`, and the report at the end of a training."""

import json
import shutil

import numpy as np
import pytest
from browsing import browser, opened, scrolls_sideways, violations
from running import TINY_CGAN, TINY_VAE, jaxgen, refuse_jaxgen, start

from jaxgen.evaluation import classifier
from jaxgen.report import page
from jaxgen.runs import directory, environment, json_file, records

MAX_BYTES = 5_000_000


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
        "Samples, ",
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
    path = directory.report_path(vae_run)
    with browser() as chromium:
        for width in (400, 1200):
            with opened(chromium, path, width) as page:
                assert not scrolls_sideways(page)
                assert violations(page) == []
                widths = page.locator("img").evaluate_all("all => all.map(i => i.naturalWidth)")
                assert len(widths) >= 9
                assert all(widths)


def test_a_report_that_fails_does_not_fail_the_training(tmp_path, monkeypatch):
    def fail(contents):
        raise KeyError("a bug")

    monkeypatch.setattr(page, "report", fail)
    options = ["--epochs", 1, "--report", "--run-dir", tmp_path / "run"]
    assert "no report: KeyError: 'a bug'" in start("vae", *TINY_VAE, *options)
    assert directory.result_path(tmp_path / "run").exists()
    assert not directory.report_path(tmp_path / "run").exists()


def test_what_is_missing_is_said(copy):
    shutil.rmtree(directory.checkpoints_path(copy))
    metrics = directory.metrics_path(copy)
    first, _, *others = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([first, "{damaged\n", *others]))
    samples = directory.samples_path(copy, 1)
    samples.write_bytes(samples.read_bytes()[:300])
    (copy / "reconstructions.png").write_bytes(b"")
    directory.evaluation_path(copy).write_text("[]")
    directory.environment_path(copy).unlink()
    text = report(copy)
    for message in (
        "metrics.jsonl: line 2 is damaged",
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


def test_an_unfinished_run_has_a_report(copy):
    directory.result_path(copy).unlink()
    assert "The run has not finished: it is at epoch 3 of 3" in report(copy)
    directory.metrics_path(copy).unlink()
    assert "No epoch has ended yet" in report(copy)


def test_an_evaluation_is_tabulated(copy):
    jaxgen("evaluate", copy, "--parts", "likelihood", "--num-images", 20,
           "--num-importance-samples", 60)  # fmt: skip
    text = report(copy)
    assert "NLL (importance-weighted bound)" in text
    assert "Activity and classes" in text
    results = dict(records.read_evaluation(copy))
    results["run"]["step"] = 1
    del results["likelihood"]["test_set"]
    records.write_evaluation(copy, results)
    text = report(copy)
    assert "The evaluation is of step 1" in text
    assert "The evaluation of likelihood: KeyError" in text


def test_nothing_in_a_run_is_markup(copy):
    hostile = "<script>alert(1)</script>"
    change_config(copy, "facts", class_names=[hostile, *"123456789"])
    (start,) = environment.read_starts(copy)
    start["command"] = f"python x.py '{hostile}'"
    json_file.write(directory.environment_path(copy), [start])
    text = report(copy)
    assert hostile not in text
    assert text.count("&lt;script&gt;alert(1)") == 2


def test_runs_are_compared(vae_run, copy, folder, capsys):
    jaxgen("report", vae_run, copy, "--output", folder / "new" / "both.html")
    text = (folder / "new" / "both.html").read_text()
    assert "Comparison of 2 runs" in text
    assert "All options are the same" in text
    assert text.count('alt="Samples of') == 2
    message = refuse_jaxgen(capsys, "report", vae_run, copy)
    assert "needs --output" in message


def test_bad_requests(vae_run, copy, capsys, monkeypatch):
    before = directory.report_path(copy).read_text()
    assert "is not a run" in refuse_jaxgen(capsys, "report", copy.parent)
    (copy / "a.html").mkdir()
    for name in ("report.pdf", "samples", "a.html"):
        message = refuse_jaxgen(capsys, "report", copy, "--output", copy / name)
        assert "give the name of an .html file" in message
    below_a_file = copy / "config.json" / "report.html"
    assert "is a file" in refuse_jaxgen(capsys, "report", copy, "--output", below_a_file)

    def disk_is_full(path, text):
        path.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(type(copy), "write_text", disk_is_full)
    assert "No space left" in refuse_jaxgen(capsys, "report", copy)
    assert directory.report_path(copy).read_text() == before
    assert not list(copy.glob("*.tmp"))


@pytest.mark.slow
def test_a_population_shows_its_members_and_the_effect_of_the_sweep(folder):
    options = ["--epochs", 1, "--num-seeds", 2, "--sweep.kl-weight", 1, 100, "--report"]
    start("vae", *TINY_VAE, *options, "--run-dir", folder / "population")
    text = directory.report_path(folder / "population").read_text()
    assert "Missing from this report" not in text
    assert "test negative elbo nats by kl weight" in text
    assert "Samples side by side" in text
    assert text.count("<h2") == 7


@pytest.mark.slow
def test_a_cgan_shows_its_classes(folder):
    start("cgan", *TINY_CGAN, "--epochs", 1, "--report", "--run-dir", folder / "cgan")
    text = directory.report_path(folder / "cgan").read_text()
    assert "Missing from this report" not in text
    for title in ("Classes", "Interpolation of noise", "Interpolation between classes"):
        assert title in text


def test_a_thousand_members_fit_into_a_page(copy):
    """A population whose checkpoint is gone, with a different picture of each member."""
    change_config(copy, "training", num_seeds=20)
    change_config(copy, "sweep", kl_weight=list(range(1, 51)))
    shutil.rmtree(directory.checkpoints_path(copy))
    random = np.random.default_rng(0)
    keys = [f"{split}/{name}_nats" for split in ("train", "test")
            for name in ("negative_elbo", "reconstruction", "kl")]  # fmt: skip
    lines = []
    for epoch in range(1, 41):
        values = {key: random.normal(100, 5, 1000).round(9).tolist() for key in keys}
        summary = {key: {"mean": 100.0, "std": 5.0, "min": 1.0, "max": 9.0} for key in keys}
        record = {"epoch": epoch, "step": epoch, "seconds": 1.0, "time": 0.0, **values}
        lines.append(record | {"summary": summary, "best_member": 77, "diverged": {"5": 3}})
    directory.metrics_path(copy).write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = directory.samples_path(copy, 3).read_bytes()
    for member in (0, 77, 999):
        path = directory.samples_path(directory.member_path(copy, member), 40)
        path.parent.mkdir(parents=True)
        path.write_bytes(frame)
    text = report(copy)
    assert len(text) < MAX_BYTES
    assert "the first 100 of 1050 rows" in text
    assert "6 of 50 settings are shown" in text
    assert "Members are frozen, since they diverged: 5 at step 3." in text
    assert "Member 77 (best)" in text
