"""Weights of PyTorch become runs, and runs become weights, as their user meets it."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from experiments import cgan_mnist, vae_mnist
from experiments.convert import convert
from experiments.options import command_line
from jaxgen import pictures, runs
from jaxgen.errors import InputError
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop.torch import load, save, to_numpy
from jaxgen.training import loop
from jaxgen.vae.models import MLPVAE

SMALL = partial(convert, dataset="mnist_5k")
KEY = jax.random.key(3)


def vae_weights():
    model = MLPVAE((32, 32, 1), 4, (16, 12))
    return to_numpy(model, model.init(KEY, jnp.zeros((1, 32, 32, 1)), KEY, train=False))


def gan_weights():
    noise, label = jnp.zeros((1, 5)), jnp.zeros(1, jnp.int32)
    generator = Generator((32, 32, 1), 5, 10, (16, 16))
    discriminator = Discriminator((32, 32, 1), 10, (16, 16))
    image = jnp.zeros((1, 32, 32, 1))
    return (
        to_numpy(generator, generator.init(KEY, noise, label, train=False)),
        to_numpy(discriminator, discriminator.init(KEY, image, label, train=False)),
    )


def resume(experiment, *options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["test", *map(str, options)])
        experiment.main(command_line(experiment.Config, "test"))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(np.asarray(other[name]), array)


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    """A run that begins with weights, and these."""
    folder = tmp_path_factory.mktemp("vae")
    weights = vae_weights()
    save(folder / "vae.safetensors", weights)
    SMALL(folder / "vae.safetensors", folder / "run")
    return folder / "run", weights


def test_a_vaes_run_comes_back_as_the_weights_it_began_with(vae_run, tmp_path):
    run_dir, weights = vae_run
    convert(run_dir, tmp_path / "back.safetensors")
    assert_same(load(tmp_path / "back.safetensors"), weights)


def test_its_samples_are_what_the_weights_draw(vae_run):
    run_dir, weights = vae_run
    x = jax.random.normal(loop.split_run_key(jax.random.key(0)).evaluate, (64, 4))
    for layer in ("decoder.0.0", "decoder.1.0"):
        x = np.maximum(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    x = x @ weights["final_layer.0.weight"].T + weights["final_layer.0.bias"]
    image = (1 / (1 + np.exp(-x))).reshape(64, 32, 32, 1)
    picture = imread(runs.samples_path(run_dir, 0))[..., :3]
    np.testing.assert_allclose(picture, pictures.grid(image, num_columns=8), atol=1 / 255)
    (record,) = runs.read_metrics(run_dir)
    assert record["epoch"] == record["step"] == 0
    assert np.isfinite(record["test/negative_elbo_nats"])


def test_a_run_that_began_with_weights_can_be_resumed(vae_run, tmp_path):
    _, weights = vae_run
    save(tmp_path / "vae.safetensors", weights)
    SMALL(tmp_path / "vae.safetensors", tmp_path / "run", objective="bernoulli")
    resume(vae_mnist, "--resume", tmp_path / "run", "--epochs", 1)
    first, last = runs.read_metrics(tmp_path / "run")
    assert (first["epoch"], last["epoch"]) == (0, 1)
    assert last["test/negative_elbo_nats"] < first["test/negative_elbo_nats"]
    assert (tmp_path / "run" / "curves.png").is_file()


@pytest.mark.parametrize("in_one_file", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_gans_run_comes_back_as_the_weights_it_began_with(small_gan, tmp_path, in_one_file):
    generator, discriminator = gan_weights()
    both = {f"generator.{name}": array for name, array in generator.items()}
    both |= {f"discriminator.{name}": array for name, array in discriminator.items()}
    source, options = tmp_path / "generator.safetensors", {}
    if in_one_file:
        save(source, both)
    else:
        save(source, generator)
        save(tmp_path / "discriminator.safetensors", discriminator)
        options["discriminator"] = tmp_path / "discriminator.safetensors"
    SMALL(source, tmp_path / "run", **options)
    convert(tmp_path / "run", tmp_path / "back.safetensors")
    average = {f"ema.{name}": array for name, array in generator.items()}
    assert_same(load(tmp_path / "back.safetensors"), both | average)
    (record,) = runs.read_metrics(tmp_path / "run")
    assert 0 <= record["test/recognised"] <= 1
    if in_one_file:
        resume(cgan_mnist, "--resume", tmp_path / "run", "--epochs", 1)
        assert [record["epoch"] for record in runs.read_metrics(tmp_path / "run")] == [0, 1]
        assert (tmp_path / "run" / "training.gif").is_file()


def test_a_generator_alone_is_not_enough(tmp_path):
    generator, discriminator = gan_weights()
    save(tmp_path / "generator.safetensors", generator)
    with pytest.raises(InputError, match="--discriminator FILE"):
        SMALL(tmp_path / "generator.safetensors", tmp_path / "run")
    save(tmp_path / "discriminator.safetensors", discriminator)
    with pytest.raises(InputError, match="those of another network"):
        SMALL(
            tmp_path / "discriminator.safetensors",
            tmp_path / "run",
            discriminator=tmp_path / "discriminator.safetensors",
        )
    assert not (tmp_path / "run").exists()


def test_nothing_that_exists_is_written_over(vae_run, tmp_path):
    run_dir, weights = vae_run
    save(tmp_path / "vae.safetensors", weights)
    with pytest.raises(InputError, match="exists already: choose another name"):
        SMALL(tmp_path / "vae.safetensors", run_dir)
    with pytest.raises(InputError, match="exists already"):
        convert(run_dir, tmp_path / "vae.safetensors")


def test_a_directory_that_is_no_run_or_has_no_weights_yet_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no run"):
        convert(tmp_path, tmp_path / "weights.safetensors")
    config = dict.fromkeys(["one", "other"])
    runs.write_config(tmp_path, config)
    with pytest.raises(InputError, match="another experiment"):
        convert(tmp_path, tmp_path / "weights.safetensors")


def test_the_command_says_in_a_line_what_is_wrong(tmp_path):
    (tmp_path / "weights.safetensors").write_text("no weights")
    done = subprocess.run(
        [Path(sys.executable).parent / "jaxgen", "convert", "weights.safetensors", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: weights.safetensors is damaged")
    assert not (tmp_path / "run").exists()
