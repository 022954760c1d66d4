"""Our networks in the comparison with the course's; nothing here imports PyTorch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import InputError
from jaxgen.gan import torch_names as gan_names
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop import torch as interop
from jaxgen.vae import likelihoods, objectives
from jaxgen.vae import torch_names as vae_names
from jaxgen.vae.models import MLPVAE, ConvVAE

BATCH = 6
NUM_CLASSES = 10
KL_WEIGHT = 0.3  # large, so that an error in the KL shows
KEY = jax.random.key(7)


def model_for(state_dict):
    """The model of either family; a discriminator without its dropout."""
    try:
        return vae_names.model_for(state_dict)
    except InputError:
        model = gan_names.model_for(state_dict)
    return model.clone(dropout_rate=0.0) if isinstance(model, Discriminator) else model


def entries_of(model):
    if isinstance(model, ConvVAE | MLPVAE):
        return vae_names.entries(model)
    return gan_names.entries(model)


def variables_like(model):
    """The shapes of the model's variables."""
    inputs = inputs_for(model, np.float32)
    if isinstance(model, ConvVAE | MLPVAE):
        inputs = inputs[0], KEY
    return jax.eval_shape(partial(model.init, train=False), KEY, *inputs)


def from_torch(model, state_dict):
    return interop.from_torch(entries_of(model), state_dict, variables_like(model))


def to_numpy(model, variables):
    return interop.to_numpy(entries_of(model), variables)


def inputs_for(model, dtype):
    """What both networks take, in our layout; a VAE's second is its noise."""
    random = np.random.default_rng(0)
    image = random.uniform(-1, 1, (BATCH, *model.image_shape)).astype(dtype)
    labels = random.integers(0, NUM_CLASSES, BATCH, np.int32)
    if isinstance(model, ConvVAE | MLPVAE):
        return image, random.normal(size=(BATCH, model.latent_dim)).astype(dtype)
    if isinstance(model, Generator):
        return random.normal(size=(BATCH, model.latent_dim)).astype(dtype), labels
    return image, labels


@partial(jax.jit, static_argnums=(0, 3))
def our_outputs(model, variables, inputs, train):
    """What the course's network returns, raw where that has an activation; and the statistics."""
    run = partial(model.apply, train=train, mutable=["batch_stats"], rngs={"dropout": KEY})
    if not isinstance(model, ConvVAE | MLPVAE):
        output, statistics = run(variables, *inputs)
        return [output], statistics
    x, eps = inputs
    (mean, logvar), statistics = run(variables, x, method="encode")
    z = mean + jnp.exp(logvar / 2) * eps
    output, statistics = run({**variables, **statistics}, z, method="decode")
    return [output, mean, logvar], statistics


def activate(model, outputs):
    """Outputs as the course's network returns them."""
    activation = {ConvVAE: jnp.tanh, MLPVAE: jax.nn.sigmoid}.get(type(model), lambda x: x)
    return [activation(outputs[0]), *outputs[1:]]


def objective_of(model):
    return objectives.course("tanh" if isinstance(model, ConvVAE) else "sigmoid", KL_WEIGHT)


@partial(jax.jit, static_argnums=0)
def our_gradients(model, variables, inputs):
    """Loss, outputs, statistics after them and gradients; the loss is that of `their_loss`."""

    def loss_fn(params):
        outputs, statistics = our_outputs(model, {**variables, "params": params}, inputs, True)
        if len(outputs) == 1:
            loss = jnp.square(outputs[0] - 1).mean()
        else:
            kl = likelihoods.gaussian_kl(outputs[1], outputs[2])
            loss = objective_of(model).loss(outputs[0], inputs[0], kl).mean()
        return loss, (outputs, statistics)

    (loss, aux), grads = jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])
    return loss, *aux, grads


def assert_close(ours, theirs, tolerance, what=""):
    """Within `tolerance`, relative to the largest number; what should be zero may be rounding."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    bound = tolerance * np.abs(theirs).max() + tolerance**1.6
    assert np.abs(ours - theirs).max() <= bound, what
