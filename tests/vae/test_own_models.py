"""A model of one's own: any collections and streams work, and what does not fit is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.errors import InputError
from jaxgen.networks import check_members
from jaxgen.training import loop
from jaxgen.types import Batch
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, EncoderDecoder

KEY = jax.random.key(0)
DATA = Batch(
    jnp.asarray(np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1)), jnp.uint8),
    jnp.zeros(24, jnp.int32),
)


class Own(nn.Module):
    """With a counter of its own, and noise from two streams."""

    image_shape: tuple[int, int, int] = (4, 4, 1)
    latent_dim: int = 2
    num_outputs: int = 1
    rate: float = 0.5
    always: bool = False
    final: str = ""
    grows: bool = False

    def setup(self):
        self.moments, self.pixels = nn.Dense(4), nn.Dense(16 * self.num_outputs)
        self.dropout = nn.Dropout(self.rate)
        self.noise = nn.Dropout(self.rate, rng_collection="noise")
        self.calls = self.variable("counter", "calls", lambda: jnp.zeros((), jnp.int32))

    def encode(self, x, *, train):
        x = self.dropout(x.reshape(len(x), -1), deterministic=not (train or self.always))
        if train and not self.is_initializing():
            self.calls.value += 1
            if self.grows:
                self.calls.value = jnp.stack([self.calls.value] * 2)
        mean, logvar = jnp.split(self.moments(x), 2, axis=-1)
        return mean, logvar

    def decode(self, z, *, train):
        z = self.noise(z, deterministic=not train)
        x = self.pixels(z).reshape(-1, 4, 4, self.num_outputs)
        return {"": lambda x: x, "tanh": jnp.tanh, "sigmoid": nn.sigmoid}[self.final](x)


def test_own_collections_are_updated_in_training_and_kept_in_evaluation():
    learner = vae(Own(), objectives.bernoulli())
    state = learner.init(KEY, Hypers())
    assert state.network.collections["counter"]["calls"] == 0
    step = jax.jit(learner.step)
    for t in range(3):
        state, _ = step(state, DATA, jax.random.fold_in(KEY, t))
    assert state.network.collections["counter"]["calls"] == 3
    learner.evaluate(state, DATA, KEY)
    assert learner.sample(state, DATA.label, KEY).shape == (24, 4, 4, 1)


def test_noise_is_the_step_key_s_and_absent_from_evaluation():
    learner, still = (vae(Own(rate=rate), objectives.bernoulli()) for rate in (0.5, 0.0))
    state = learner.init(KEY, Hypers())

    def loss(learner):
        return learner.step(state, DATA, KEY)[1]["loss"]

    assert loss(learner) == loss(learner)
    assert loss(learner) != loss(still)
    for name in ("loss", "kl_nats"):
        one, other = (either.evaluate(state, DATA, KEY)[name] for either in (learner, still))
        np.testing.assert_array_equal(one, other)


def test_a_whole_run_is_one_program():
    learner, shape = vae(Own(), objectives.bernoulli()), loop.EpochShape(2, 2, 6)
    state, metrics = jax.jit(
        lambda key: loop.run(learner, DATA, key, Hypers(), shape=shape, num_epochs=2)
    )(KEY)
    assert state.step == 8
    assert state.network.collections["counter"]["calls"] == 8
    assert np.isfinite(metrics["loss"]).all()


@pytest.mark.parametrize(
    ("model", "objective", "message"),
    [
        (Own(num_outputs=2), "bernoulli", r"decode returns shape \(2, 4, 4, 2\) for 2 latents"),
        (Own(), "logistic", r"objective needs \(2, 4, 4, 2\): 2 output\(s\) for each of 1"),
        (Own(latent_dim=3), "bernoulli", r"encode returns 2 array\(s\) of \(2, 2\) and \(2, 2\)"),
        (Own(latent_dim=0), "bernoulli", "latent_dim must be positive"),
        (Own(final="tanh"), "bernoulli", "decode ends with a tanh, and the objective applies"),
        (Own(final="sigmoid"), "gaussian", "decode ends with a sigmoid"),
        (Own(always=True), "bernoulli", 'Own.encode draws random .* needs PRNG for "dropout"'),
        (Own(grows=True), "bernoulli", "structure of its collection counter in a step"),
    ],
)
def test_what_does_not_fit_is_named_at_construction(model, objective, message):
    made = {
        "bernoulli": objectives.bernoulli(),
        "logistic": objectives.logistic(),
        "gaussian": objectives.gaussian_fitted("tanh"),
    }
    with pytest.raises(InputError, match=message):
        vae(model, made[objective])


def test_what_is_missing_is_named():
    class Bare(nn.Module):
        latent_dim: int = 2

        def encode(self, x):
            return x

    class Blind(nn.Module):
        image_shape: tuple[int, int, int] = (4, 4, 1)
        latent_dim: int = 2

        def encode(self, x, *, train):
            return x

        def decode(self, z):
            return z

    message = "Bare has no image_shape, decode: see jaxgen.vae.models.EncoderDecoder, which needs"
    with pytest.raises(InputError, match=message):
        check_members(Bare(), EncoderDecoder)
    with pytest.raises(InputError, match="is not an instance of a Flax module"):
        check_members(MLPVAE, EncoderDecoder)
    with pytest.raises(InputError, match=r"Blind\.decode does not take `train`: add"):
        check_members(Blind(), EncoderDecoder)


def test_images_of_another_shape_are_refused_before_the_step():
    learner = vae(MLPVAE((8, 8, 1), hidden_dims=(4,)), objectives.bernoulli())
    state = jax.eval_shape(learner.init, KEY, Hypers())
    message = r"takes images of shape \(8, 8, 1\), not of shape \(4, 4, 1\)"
    for function in (learner.step, learner.evaluate):
        with pytest.raises(InputError, match=message):
            jax.eval_shape(function, state, DATA, KEY)
