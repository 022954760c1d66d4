"""Training the conditional GAN as its user meets it."""

import json

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from running import (
    CGAN,
    TINY_CGAN,
    assert_bit_identical,
    fail,
    refuse,
    start,
    succeed,
    without_times,
)

from jaxgen.recipes import cgan
from jaxgen.runner.epochs import member_record
from jaxgen.runs import directory, records

pytestmark = pytest.mark.usefixtures("quick_classifier")

TINY = [*TINY_CGAN, "--ema-decay", "0.5", "--batch-size", "80"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, quick_classifier):
    """A run of two epochs, and its output."""
    run_dir = tmp_path_factory.mktemp("cgan") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgan, "WARM_UP_STEPS", 20)
        patch.setattr(
            cgan, "describe_collapse", lambda images, loss, _: f"{images.shape} and {loss:.4f}"
        )
        return run_dir, start("cgan", *TINY, "--epochs", 2, "--run-dir", run_dir)


def test_a_run_says_where_it_is_and_what_it_reached(finished):
    run_dir, output = finished
    *_, place, score = output.strip().splitlines()
    last = records.read_metrics(run_dir)[-1]
    assert "whole" in place
    assert f"requested class: {last['test/recognized']:.2%} of the samples" in score
    assert f"({last['test/recognized_real']:.2%} of the real test images)" in score
    assert score.endswith("after 2 epochs on mnist_5k")


def test_collapse_is_reported_once_the_average_has_warmed_up(finished):
    run_dir, output = finished
    first, second = (r["train/discriminator_loss"] for r in records.read_metrics(run_dir))
    assert f"collapsed: (10, 10, 32, 32, 1) and {second:.4f}" in output
    assert f"{first:.4f}" not in output


def test_a_run_records_what_it_was_and_what_it_measured(finished):
    run_dir, _ = finished
    config = json.loads(directory.config_path(run_dir).read_text())
    assert config["recipe"] == "cgan"
    assert config["config"]["ema_decay"] == 0.5
    lines = records.read_metrics(run_dir)
    assert [line["step"] for line in lines] == [10, 20]
    for split in ("train", "test"):
        for name in ("generator_loss", "discriminator_loss", "d_real", "d_fake"):
            assert np.isfinite(lines[-1][f"{split}/{name}"])
    assert lines[-1]["train/generator_grad_norm"] > 0
    assert 0 <= lines[-1]["test/recognized"] <= 1
    assert json.loads((run_dir / "result.json").read_text())["metrics"] == lines[-1]


def test_pictures_have_a_row_for_each_class_with_its_name_and_an_animation(finished):
    run_dir, _ = finished
    for epoch in (1, 2):
        picture = imread(directory.samples_path(run_dir, epoch))
        assert picture.shape[0] == 676
        assert 676 < picture.shape[1] < 730
        margin = picture[:, : picture.shape[1] - 676, :3]
        assert all(margin[68 * row : 68 * row + 64].min() < 0.5 for row in range(10))
    with Image.open(run_dir / "training.gif") as animation:
        assert animation.n_frames == 2  # pyright: ignore[reportAttributeAccessIssue]
    assert imread(run_dir / "curves.png")[..., :3].std() > 0.05


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(finished):
    whole, _ = finished
    parts = whole.parent / "parts"
    start("cgan", *TINY, "--epochs", 1, "--run-dir", parts)
    start("cgan", "--resume", parts, "--epochs", 2)
    assert_bit_identical(whole, parts)


def test_members_equal_single_runs_and_a_diverging_one_affects_no_other(finished):
    whole, _ = finished
    run_dir = whole.parent / "population"
    output = start(
        "cgan", *TINY, "--num-seeds", 2, "--sweep.learning-rate", 2e-4, 1e30, "--epochs", 2,
        "--run-dir", run_dir,
    )  # fmt: skip
    lines = records.read_metrics(run_dir)
    single = records.read_metrics(whole)
    assert without_times([member_record(r, 0) for r in lines]) == without_times(single)
    for line in lines:
        assert line["test/recognized"][2:] == [None, None]
        assert line["diverged"].keys() == {"2", "3"}
        assert line["best_member"] == int(np.argmax(line["test/recognized"][:2]))
    assert "member 3 is frozen" in output
    pictures = [
        directory.samples_path(place, 2) for place in (whole, directory.member_path(run_dir, 0))
    ]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    with Image.open(directory.member_path(run_dir, 1) / "training.gif") as animation:
        assert animation.n_frames == 2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([], "is finished: ask for more --epochs"),
        (["--epochs", 1], "is finished: ask for more --epochs"),
        (["--ema-decay", 0.9], "ema_decay (0.5 there, 0.9 here)"),
        (["--objective", "hinge"], "non-saturating there, hinge here"),
    ],
)
def test_a_finished_run_is_left_unchanged(finished, capsys, options, hint):
    run_dir, _ = finished

    def contents():
        return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}

    before = contents()
    assert hint in refuse(capsys, "cgan", "--resume", run_dir, *options)
    assert contents() == before


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--batch-size", 10**9], "choose a smaller --batch-size"),
        (["--image-size", 16], "do not fit"),
        (["--dataset", "mnits"], "mnits"),
        (["--latent-dim", 0], "--latent-dim must be positive"),
        (["--objectve", "hinge"], "--objectve"),
        (["--penalty", "r2"], "r2"),
        (["--num-discriminator-steps", 3], "cannot be split evenly among 3"),
    ],
)
def test_what_cannot_be_done_leaves_no_directory_behind(tmp_path, capsys, options, hint):
    assert hint in refuse(capsys, "cgan", *TINY, "--run-dir", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_divergence_in_the_first_epoch_leaves_no_record(tmp_path, capsys):
    options = ["--epochs", 2, "--run-dir", tmp_path / "run", "--learning-rate", "1e30"]
    message = refuse(capsys, "cgan", *TINY, *options)
    assert "not finite at step 1" in message
    assert "Start a new run with a smaller --learning-rate" in message
    assert records.read_metrics(tmp_path / "run") == []


@pytest.mark.slow
def test_the_command_in_a_process_is_bit_identical_if_resumed(tmp_path):
    for options in (
        [*TINY_CGAN, "--epochs", 2, "--run-dir", "whole"],
        [*TINY_CGAN, "--epochs", 1, "--run-dir", "parts"],
        ["--resume", "parts", "--epochs", 2],
    ):
        succeed(CGAN, *options, cwd=tmp_path)
    assert records.read_metrics(tmp_path / "whole")[-1]["test/recognized_real"] > 0.95
    assert_bit_identical(tmp_path / "whole", tmp_path / "parts")


def test_the_script_names_a_wrong_value(tmp_path):
    assert "--ema-decay must be at least 0 and less than 1, but is 1.5" in " ".join(
        fail(CGAN, *TINY, "--ema-decay", 1.5, cwd=tmp_path).replace("│", " ").split()
    )
    assert list(tmp_path.iterdir()) == []
