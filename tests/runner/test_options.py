"""Values that make no sense are refused by name, before anything is trained."""

import dataclasses

import pytest

from jaxgen.errors import InputError
from jaxgen.recipes import cgan, vae
from jaxgen.runner.command_line import defaults, parse
from jaxgen.runner.options import TrainingOptions
from jaxgen.runner.sweep import differences, members, settings

RECIPES = {"vae": vae.RECIPE, "cgan": cgan.RECIPE}


def options(recipe, *args):
    return parse(RECIPES[recipe], defaults(RECIPES[recipe]), "test", args)


SHARED = [
    "--epochs -1",
    "--batch-size 0",
    "--image-size 0",
    "--learning-rate 0",
    "--learning-rate -1",
    "--learning-rate nan",
    "--learning-rate inf",
    "--latent-dim 0",
    "--final-learning-rate -0.1",
    "--final-learning-rate 1.1",
    "--num-seeds 0",
    "--batch-devices 0",
    "--seed -1",
    "--seed 4294967296",
]
OWN = {
    "vae": [
        "--hidden-dims 0",
        "--hidden-dims 8 -8",
        "--num-samples 0",
        "--variance 0",
        "--variance nan",
        "--course-kl-weight 0",
        "--kl-weight -1",
        "--kl-weight nan",
        "--kl-warmup-epochs -1",
    ],
    "cgan": [
        "--ema-decay 1.5",
        "--ema-decay 1",
        "--ema-decay -0.1",
        "--ema-decay nan",
        "--label-smoothing 2",
        "--label-smoothing -0.1",
        "--generator-dims 0",
        "--discriminator-dims 8 0",
        "--num-discriminator-steps 0",
        "--num-discriminator-steps -1",
        "--penalty-weight -1",
    ],
}


@pytest.mark.parametrize(
    ("recipe", "text"), [(name, text) for name in RECIPES for text in SHARED + OWN[name]]
)
def test_a_senseless_value_is_refused_by_name(capsys, recipe, text):
    flag, *values = text.split()
    with pytest.raises(SystemExit) as stop:
        options(recipe, flag, *values)
    assert stop.value.code == 2
    name = flag.replace("-", "_").strip("_")
    assert f"{name} must be " in capsys.readouterr().err.replace("-", "_")


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("vae", "--kl-weight 0 --kl-warmup-epochs 0 --seed 4294967295 --epochs 0"),
        ("cgan", "--ema-decay 0 --label-smoothing 0 --penalty-weight 0"),
        ("cgan", "--ema-decay None --final-learning-rate 0"),
    ],
)
def test_extreme_values_are_accepted(recipe, text):
    options(recipe, *text.split())


def test_a_config_checks_its_values_without_a_command_line():
    with pytest.raises(InputError, match="--latent-dim must be positive, but is 0"):
        vae.Config(latent_dim=0)


def test_the_settings_of_a_script_are_defaults_that_the_command_line_overrides():
    config = vae.Config(model="mlp", latent_dim=7)
    default = defaults(vae.RECIPE, config, training=TrainingOptions(epochs=3))
    parsed = parse(vae.RECIPE, default, "test", ["--latent-dim", "9"])
    assert parsed.config == dataclasses.replace(config, latent_dim=9)
    assert parsed.training.epochs == 3


def test_members_are_crossed_from_sweep_and_seeds():
    parsed = options(
        "vae", "--seed", "7", "--num-seeds", "2",
        "--sweep.learning-rate", "0.1", "0.2", "--sweep.kl-weight", "1", "4",
    )  # fmt: skip
    everyone = members(parsed)
    assert [(m.config.learning_rate, m.config.kl_weight, m.training.seed) for m in everyone] == [
        (rate, weight, seed) for rate in (0.1, 0.2) for weight in (1.0, 4.0) for seed in (7, 8)
    ]
    assert all(members(member) == [member] for member in everyone)
    assert differences(parsed)[2] == {"learning_rate": 0.1, "kl_weight": 4.0}
    assert settings(parsed)["learning_rate 0.2, kl_weight 1"] == [4, 5]


def test_a_swept_value_is_checked_like_the_option_itself():
    parsed = options("vae", "--sweep.learning-rate", "0.1", "0")
    with pytest.raises(InputError, match="--learning-rate must be positive, but is 0"):
        members(parsed)
