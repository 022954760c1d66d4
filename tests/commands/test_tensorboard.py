"""Event files, read back by TensorBoard itself."""

import io
import sys
import time

import numpy as np
import pytest
from PIL import Image
from running import TINY_VAE, refuse, start

from jaxgen.runs import directory, records

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytest.importorskip("tensorboardX")

BEST = "test/negative_elbo_nats"


pytestmark = pytest.mark.usefixtures("few_digits")


def read(path):
    found = accumulators.EventAccumulator(str(path), {"images": 0, "scalars": 0})
    return found.Reload()


def points(run_dir, name):
    found = read(directory.events_path(run_dir)).Scalars(name)
    return [(event.step, event.value) for event in found]


def expected(run_dir, name):
    return [(r["step"], np.float32(r[name])) for r in records.read_metrics(run_dir)]


def test_a_resumed_run_has_every_point_once(tmp_path):
    run_dir = tmp_path / "run"
    start("vae", *TINY_VAE, "--epochs", 2, "--tensorboard", "--run-dir", run_dir)
    assert points(run_dir, BEST) == expected(run_dir, BEST)
    # a point of an epoch that a crash has undone
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(directory.events_path(run_dir))) as writer:
        writer.add_scalar(BEST, 1e6, 5)
    start("vae", "--resume", run_dir, "--epochs", 4, "--tensorboard")
    for name in (BEST, "train/kl_nats"):
        assert points(run_dir, name) == expected(run_dir, name)
        assert len(points(run_dir, name)) == 4
    found = read(directory.events_path(run_dir))
    assert [event.step for event in found.Images("samples")] == [2, 4, 6, 8]
    last = found.Images("samples")[-1]
    with Image.open(io.BytesIO(last.encoded_image_string)) as picture:
        assert picture.size == (last.width, last.height)
    path = directory.samples_path(run_dir, 4)
    assert last.encoded_image_string == path.read_bytes()


def test_a_run_of_a_second_keeps_its_points(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.7e9)  # event files are named by the second
    run_dir = tmp_path / "run"
    start("vae", *TINY_VAE, "--epochs", 1, "--tensorboard", "--run-dir", run_dir)
    assert points(run_dir, BEST) == expected(run_dir, BEST)


def test_hyperparameters_come_with_the_final_metrics(tmp_path):
    run_dir = tmp_path / "run"
    options = ["--kl-weight", 2.5, "--epochs", 1, "--tensorboard", "--run-dir", run_dir]
    start("vae", *TINY_VAE, *options)
    found = read(directory.events_path(run_dir) / "hparams")
    (event,) = found.Scalars(BEST)
    assert event.value == np.float32(records.read_metrics(run_dir)[-1][BEST])
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    for text in (b"kl_weight", b"latent_dim", b"batch_size"):
        assert text in content


def test_a_population_has_its_means(tmp_path):
    run_dir = tmp_path / "run"
    options = ["--num-seeds", 2, "--epochs", 1, "--tensorboard", "--run-dir", run_dir]
    start("vae", *TINY_VAE, *options)
    (line,) = records.read_metrics(run_dir)
    assert points(run_dir, BEST) == [(2, np.float32(line["summary"][BEST]["mean"]))]
    assert len(read(directory.events_path(run_dir)).Images("samples")) == 1


def test_without_tensorboardx_nothing_is_created(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    options = [*TINY_VAE, "--tensorboard", "--run-dir", tmp_path / "run"]
    assert "pip install 'jaxgen[tensorboard]'" in refuse(capsys, "vae", *options)
    assert not (tmp_path / "run").exists()
