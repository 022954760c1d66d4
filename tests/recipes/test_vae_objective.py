"""The objective follows the data, is said, and is never silently the wrong one."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.pixels import binarization_noise
from jaxgen.recipes import vae
from jaxgen.recipes.recipe import Facts
from jaxgen.recipes.vae_config import Config, choose_objective, make_model, make_objective
from jaxgen.vae.models import MLPVAE
from jaxgen.vae.torch_names import model_for

TINY = Config(model="mlp", hidden_dims=(4,), latent_dim=2)
OBJECTIVES = ("bernoulli", "logistic", "gaussian", "gaussian-fitted", "gaussian-learned", "course")


def facts(channels=1, noise=0.0):
    return Facts("toy", (8, 8, channels), ("a",), 20, "", 2, 2, noise)


@pytest.mark.parametrize(
    ("facts", "name", "reason"),
    [
        (facts(1, 0.2), "bernoulli", "the images are nearly black and white"),
        (facts(1, 0.7), "gaussian-fitted", "the images are gray"),
        (facts(3, 0.2), "gaussian-fitted", "the images are in color"),
    ],
)
def test_the_default_follows_the_data_and_says_why(facts, name, reason):
    chosen, notice = choose_objective(TINY, facts)
    assert chosen == name
    assert notice.startswith(f"objective {name}, the ELBO of ")
    assert notice.endswith(reason)
    assert vae.build(TINY, facts).notice == notice


@pytest.mark.parametrize(
    ("facts", "kind"), [(facts(3, 0.75), "in color"), (facts(1, 0.75), "gray")]
)
def test_a_bernoulli_objective_that_does_not_suit_the_data_is_warned_about(facts, kind):
    chosen, notice = choose_objective(dataclasses.replace(TINY, objective="bernoulli"), facts)
    assert chosen == "bernoulli"
    assert (
        f"warning: objective bernoulli models randomly binarized pixels, and the images are {kind}"
        in notice
    )
    assert "75% of the variance that it sees is noise" in notice


@pytest.mark.parametrize("objective", OBJECTIVES[1:])
def test_an_explicit_choice_that_suits_the_data_needs_no_words(objective):
    assert choose_objective(dataclasses.replace(TINY, objective=objective), facts(3, 0.7))[1] == ""


def test_runs_recorded_before_the_measure_are_as_they_were():
    assert Facts("toy", (8, 8, 1), ("a",), 20, "", 2, 2).binarization_noise == 0


def test_the_built_in_digits_are_nearly_black_and_white_and_shapes_are_not():
    digits, shapes = (np.asarray(load(name, "test").image) for name in ("mnist_5k", "shapes"))
    assert 0.1 < binarization_noise(digits) < 0.25
    padded = np.pad(digits, [(0, 0), (2, 2), (2, 2), (0, 0)])
    assert binarization_noise(padded) == pytest.approx(binarization_noise(digits), rel=0.1)
    assert binarization_noise(shapes) > 0.4


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_has_a_model_that_fits_it(objective):
    config = dataclasses.replace(TINY, objective=objective)
    learner = vae.build(config, facts(3)).learner
    assert (learner.bits_per_dim is not None) == (objective in ("logistic", "gaussian-fitted"))
    num_outputs = 2 if objective in ("logistic", "gaussian-learned") else 1
    assert make_model(config, facts(3)).num_outputs == num_outputs
    made = make_objective(config, facts(3))
    assert getattr(made, "num_outputs", 1) == num_outputs


def test_the_result_is_said_in_bits_per_dimension_where_it_has_them():
    record = {"test/negative_elbo_nats": 12.5, "test/bits_per_dim": 0.25}
    assert vae.headline(record) == "test ELBO: -12.50 nats (0.250 bits/dim)"
    assert vae.describe(record) == "negative ELBO in nats: test 12.50 (0.250 bits/dim)"
    assert vae.headline({"test/negative_elbo_nats": 12.5}) == "test ELBO: -12.50 nats"


def test_a_fitted_variance_moves_with_the_weights():
    config = dataclasses.replace(TINY, objective="gaussian-fitted")
    learner = vae.build(config, facts(3)).learner
    state = learner.init(jax.random.key(0), vae.RECIPE.hypers(config))
    other = state._replace(variance=np.float32(0.25))
    assert vae.put_networks(state, vae.get_networks(other)).variance == 0.25
    from_torch = {"vae": state.network.variables}
    assert vae.put_networks(state, from_torch).variance == 1


def test_a_color_file_of_the_course_has_the_course_s_objective():
    model = MLPVAE((8, 8, 3), 2, (4,))
    weights = {
        "encoder.0.0.weight": np.zeros((4, 192)),
        "fc_mu.weight": np.zeros((2, 4)),
        "final_layer.0.weight": np.zeros((192, 4)),
    }
    assert model_for(weights) == model
    assert vae.torch_options({"vae": weights})["objective"] == "course"
    weights["final_layer.0.weight"] = np.zeros((384, 4))
    assert "objective" not in vae.torch_options({"vae": weights})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_settings_of_a_run_are_those_in_effect(objective):
    """Widths and objective are filled in; what only others use is left out."""
    config = Config(model="conv", hidden_dims=(4, 8), objective=objective)
    found = vae.build(config, facts()).settings
    assert found is not None
    assert (found["hidden_dims"], found["latent_dim"]) == ((4, 8), 128)
    assert found["objective"] == objective
    assert ("variance" in found) == (objective == "gaussian")
    assert ("course_kl_weight" in found) == (objective == "course")
    assert "activation" not in found
    mlp = vae.build(dataclasses.replace(TINY, objective=None), facts()).settings
    assert mlp is not None
    assert (mlp["activation"], mlp["objective"]) == ("relu", "bernoulli")
