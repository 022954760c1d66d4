"""Numbers that make no sense are refused before anything is trained."""

import sys

import pytest

from experiments import cgan_mnist, vae_mnist
from experiments.options import command_line
from jaxgen import runs
from jaxgen.errors import InputError

EXPERIMENTS = {"vae": vae_mnist, "cgan": cgan_mnist}


@pytest.fixture
def make(monkeypatch):
    """The learner that an experiment makes of its command line."""

    def make(experiment, *options):
        monkeypatch.setattr(sys, "argv", ["test", *options])
        config = command_line(EXPERIMENTS[experiment].Config, "test")
        return EXPERIMENTS[experiment].make_learner(config, (32, 32, 1), 10)

    return make


SHARED = [
    "--epochs 0",
    "--epochs -1",
    "--batch-size 0",
    "--image-size 0",
    "--learning-rate 0",
    "--learning-rate -1",
    "--learning-rate nan",
    "--learning-rate inf",
    "--seed -1",
    "--seed 4294967296",
]
OWN = {
    "vae": [
        "--hidden-dims 0",
        "--hidden-dims 8 -8",
        "--latent-dim 0",
        "--num-samples 0",
        "--variance 0 --objective gaussian",
        "--variance nan --objective gaussian",
        "--kld-weight 0 --objective course",
        "--kl-weight -1",
        "--kl-weight nan",
        "--kl-warmup-epochs -1",
        "--decay-epochs 0",
    ],
    "cgan": [
        "--ema-decay 1.5",
        "--ema-decay 1",
        "--ema-decay -0.1",
        "--ema-decay nan",
        "--label-smoothing 2",
        "--label-smoothing -0.1",
        "--latent-dim 0",
        "--num-discriminator-steps 0",
        "--num-discriminator-steps -1",
        "--penalty-weight -1",
    ],
}


@pytest.mark.parametrize(
    ("experiment", "options"),
    [(name, options) for name in EXPERIMENTS for options in SHARED + OWN[name]],
)
def test_nonsense_is_refused_by_its_name(make, experiment, options):
    flag, *values = options.split()
    name = flag.strip("-").replace("-", "_")
    with pytest.raises(InputError, match=f"{name} must be "):
        make(experiment, flag, *values)


@pytest.mark.parametrize(
    ("experiment", "options"),
    [
        ("vae", "--kl-weight 0 --kl-warmup-epochs 0 --seed 4294967295"),
        ("cgan", "--ema-decay 0 --label-smoothing 0 --penalty-weight 0"),
        ("cgan", "--ema-decay None"),
    ],
)
def test_what_makes_sense_is_accepted(make, experiment, options):
    make(experiment, *options.split())


@pytest.mark.parametrize("option", ["--overwrite", "--run-dir=elsewhere"])
def test_a_run_resumes_in_its_own_directory(make, tmp_path, option):
    runs.write_config(tmp_path, {})
    with pytest.raises(InputError, match=f"goes on in {tmp_path} itself"):
        make("vae", f"--resume={tmp_path}", option)
