"""The VAE's recipe: it names the collapse of the posterior, and only that."""

import pytest

from jaxgen.errors import InputError
from jaxgen.recipes import vae


def record(kl, **more):
    return {"test/kl_nats": kl, "train/kl_nats": kl, **more}


@pytest.mark.parametrize(("kl", "collapsed"), [(0.0, True), (0.099, True), (0.2, False)])
def test_a_kl_of_nearly_zero_is_a_collapse(kl, collapsed):
    assert ("latents carry no information" in vae.warn(record(kl), {})) == collapsed


def test_before_the_first_update_there_is_none():
    assert vae.warn({"test/kl_nats": 0.0}, {}) == ""


def test_the_activation_is_that_of_an_mlp():
    with pytest.raises(InputError, match="--activation tanh needs --model mlp"):
        vae.Config(activation="tanh")
    assert vae.Config(model="mlp", activation="tanh").activation == "tanh"
