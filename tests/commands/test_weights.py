"""Runs that start from weights, and weights that come out of runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread
from running import (
    JAXGEN,
    SMALL,
    TINY_CGAN,
    TINY_VAE,
    fail,
    jaxgen,
    refuse,
    refuse_jaxgen,
    start,
    succeed,
)

from jaxgen import load_run
from jaxgen.gan import torch_names as gan_names
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop import files
from jaxgen.interop.torch import to_numpy
from jaxgen.pictures import grids
from jaxgen.runs import directory, records
from jaxgen.training import loop
from jaxgen.vae import MLPVAE
from jaxgen.vae import torch_names as vae_names

pytestmark = pytest.mark.usefixtures("quick_classifier")

KEY = jax.random.key(3)
DATA = ["--dataset", "mnist_5k"]


def vae_weights():
    model = MLPVAE((32, 32, 1), 4, (16, 12))
    variables = model.init(KEY, jnp.zeros((1, 32, 32, 1)), KEY, train=False)
    return to_numpy(vae_names.entries(model), variables)


def gan_weights():
    noise, label = jnp.zeros((1, 5)), jnp.zeros(1, jnp.int32)
    generator = Generator((32, 32, 1), 5, 10, (16, 16))
    discriminator = Discriminator((32, 32, 1), 10, (16, 16))
    networks = {
        "generator": (generator, (noise, label)),
        "discriminator": (discriminator, (jnp.zeros((1, 32, 32, 1)), label)),
    }
    return {
        f"{name}.{entry}": array
        for name, (model, inputs) in networks.items()
        for entry, array in to_numpy(
            gan_names.entries(model), model.init(KEY, *inputs, train=False)
        ).items()
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(np.asarray(other[name]), array)


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    """A run that starts from a file, and the weights in it."""
    folder = tmp_path_factory.mktemp("vae")
    weights = vae_weights()
    files.save(folder / "vae.safetensors", weights)
    options = [*DATA, "--init-from", folder / "vae.safetensors", "--epochs", 0]
    start("vae", *options, "--run-dir", folder / "run")
    return folder / "run", weights


def test_weights_imply_the_sizes_and_come_back_exactly(vae_run, tmp_path):
    run_dir, weights = vae_run
    jaxgen("export", run_dir, tmp_path / "back.safetensors")
    assert_same(files.load(tmp_path / "back.safetensors").arrays, weights)


def test_samples_are_those_of_the_weights(vae_run):
    run_dir, weights = vae_run
    key, _ = jax.random.split(loop.split_run_key(jax.random.key(0)).draw)
    x = np.asarray(jax.random.normal(key, (64, 4)))
    for layer in ("decoder.0.0", "decoder.1.0"):
        x = np.maximum(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    x = x @ weights["final_layer.0.weight"].T + weights["final_layer.0.bias"]
    image = (1 / (1 + np.exp(-x))).reshape(64, 32, 32, 1)
    picture = imread(directory.samples_path(run_dir, 0))[..., :3]
    np.testing.assert_allclose(picture, grids.grid(image, num_columns=8), atol=1 / 255)
    (record,) = records.read_metrics(run_dir)
    assert record["epoch"] == record["step"] == 0
    assert np.isfinite(record["test/negative_elbo_nats"])


def test_a_run_without_epochs_can_be_continued(vae_run, tmp_path):
    _, weights = vae_run
    files.save(tmp_path / "vae.safetensors", weights)
    options = [*DATA, "--init-from", tmp_path / "vae.safetensors", "--epochs", 0]
    start("vae", *options, "--run-dir", tmp_path / "run")
    start("vae", "--resume", tmp_path / "run", "--epochs", 1)
    first, last = records.read_metrics(tmp_path / "run")
    assert (first["epoch"], last["epoch"]) == (0, 1)
    assert last["test/negative_elbo_nats"] < first["test/negative_elbo_nats"]


def test_a_run_starts_from_another_with_a_new_optimizer(vae_run, tmp_path):
    run_dir, _ = vae_run
    options = ["--init-from", run_dir, "--epochs", 1, "--learning-rate", "1e-4"]
    output = start("vae", *options, "--run-dir", tmp_path / "tuned")
    before, after = load_run(run_dir), load_run(tmp_path / "tuned")
    (zero, _), (of_source,) = after.metrics, before.metrics
    score = "test/negative_elbo_nats"
    assert zero[score] == of_source[score]
    assert after.options.config.latent_dim == 4
    assert after.options.config.learning_rate == 1e-4
    assert int(after.state.step) == after.facts.steps_per_epoch
    assert "epoch   0" in output


@pytest.mark.slow
def test_all_members_of_a_population_start_from_the_weights(vae_run, tmp_path):
    run_dir, _ = vae_run
    start("vae", "--init-from", run_dir, "--epochs", 0, "--num-seeds", 2,
          "--run-dir", tmp_path / "two")  # fmt: skip
    population, source = load_run(tmp_path / "two"), load_run(run_dir)
    for index in range(2):
        member = population.member(index).state.network.params
        jax.tree.map(np.testing.assert_array_equal, member, source.state.network.params)


def test_a_gan_comes_back_as_the_weights_it_started_from(tmp_path):
    weights = gan_weights()
    files.save(tmp_path / "gan.safetensors", weights)
    options = [*SMALL, "--init-from", tmp_path / "gan.safetensors", "--epochs", 1]
    start("cgan", *options, "--run-dir", tmp_path / "run")
    succeed(JAXGEN, "export", "run", "first.safetensors", "--checkpoint", 0, cwd=tmp_path)
    average = {
        name.replace("generator", "ema"): array
        for name, array in weights.items()
        if name.startswith("generator")
    }
    assert_same(files.load(tmp_path / "first.safetensors").arrays, weights | average)
    assert [r["epoch"] for r in records.read_metrics(tmp_path / "run")] == [0, 1]


@pytest.mark.parametrize(
    ("recipe", "options", "hint"),
    [
        ("cgan", TINY_CGAN, "needs a generator and a discriminator"),
        (
            "vae",
            ["--latent-dim", 5],
            "wrong shape: decoder.0.0.weight [12, 4], expected [12, 5]",
        ),
        ("vae", ["--model", "conv"], "missing"),
    ],
)
def test_weights_that_do_not_fit_are_refused(vae_run, tmp_path, capsys, recipe, options, hint):
    files.save(tmp_path / "vae.safetensors", vae_run[1])
    message = refuse(
        capsys, recipe, *DATA, *options, "--init-from", tmp_path / "vae.safetensors",
        "--run-dir", tmp_path / "run",
    )  # fmt: skip
    assert hint in message
    assert not (tmp_path / "run").exists()


def test_a_run_of_other_sizes_is_refused_with_the_first_difference(vae_run, tmp_path, capsys):
    message = refuse(capsys, "vae", *TINY_VAE, "--latent-dim", 5, "--init-from", vae_run[0],
                     "--run-dir", tmp_path / "run")  # fmt: skip
    assert "do not fit these options: vae['params']" in message
    assert not (tmp_path / "run").exists()


def test_a_generator_without_a_discriminator_is_refused(tmp_path, capsys):
    weights = {k: v for k, v in gan_weights().items() if k.startswith("generator")}
    files.save(tmp_path / "generator.safetensors", weights)
    message = refuse(capsys, "cgan", *DATA, "--init-from", tmp_path / "generator.safetensors")
    assert "there is no discriminator" in message


def test_existing_files_are_not_overwritten(vae_run, tmp_path, capsys):
    (tmp_path / "weights.pt").touch()
    message = refuse_jaxgen(capsys, "export", vae_run[0], tmp_path / "weights.pt")
    assert "weights.pt already exists" in message
    assert (tmp_path / "weights.pt").read_bytes() == b""


def test_a_directory_that_is_not_a_run_cannot_be_exported(tmp_path):
    assert "is not a run" in fail(JAXGEN, "export", tmp_path, "x.safetensors", cwd=tmp_path)
