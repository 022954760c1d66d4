"""Check that a model is a VAE's network, and that it fits an objective."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxgen.errors import InputError, require_positive
from jaxgen.networks import check_members, check_updates, final_activation, trace
from jaxgen.vae.models import EncoderDecoder, forward

NUM_IMAGES = 2  # of the traced batch


def check_model(model: EncoderDecoder, num_outputs: int) -> None:
    """Raise an InputError that names what a model lacks, or what disagrees with the objective.

    `num_outputs` is that of the objective. The model is traced in training and in evaluation.
    """
    check_members(model, EncoderDecoder)
    require_positive(image_shape=model.image_shape, latent_dim=model.latent_dim)
    name, key = type(model).__name__, jax.random.key(0)
    x = jax.ShapeDtypeStruct((NUM_IMAGES, *model.image_shape), jnp.float32)
    z = jax.ShapeDtypeStruct((NUM_IMAGES, model.latent_dim), jnp.float32)

    variables = jax.eval_shape(partial(model.init, method=_encode_and_decode), key, x, z)
    encode = partial(model.apply, train=False, method="encode")
    moments, _ = trace(f"{name}.encode", encode, variables, x)
    shapes = [moment.shape for moment in jax.tree.leaves(moments)]
    if shapes != [z.shape] * 2:
        raise InputError(
            f"{name}.encode returns {_listed(shapes)} for {NUM_IMAGES} images, and must return "
            f"mean and log-variance of shape {z.shape}: latent_dim is {model.latent_dim}."
        )
    decode = partial(model.apply, train=False, method="decode")
    output, jaxpr = trace(f"{name}.decode", decode, variables, z)
    height, width, channels = model.image_shape
    wanted = (NUM_IMAGES, height, width, channels * num_outputs)
    if output.shape != wanted:
        raise InputError(
            f"{name}.decode returns shape {output.shape} for {NUM_IMAGES} latents, and the "
            f"objective needs {wanted}: {num_outputs} output(s) for each of {channels} channel(s)."
        )
    if activation := final_activation(jaxpr):
        raise InputError(
            f"{name}.decode ends with a {activation}, and the objective applies its own: return "
            "the values before it."
        )
    collections = [collection for collection in variables if collection != "params"]
    step = partial(model.apply, train=True, mutable=collections, rngs=key, method=forward)
    check_updates(name, variables, jax.eval_shape(step, variables, x, key)[1])


def _encode_and_decode(model: EncoderDecoder, x: Array, z: Array) -> tuple[PyTree, PyTree]:
    """Encode and decode separately, in case the latents have the wrong shape."""
    return model.encode(x, train=False), model.decode(z, train=False)


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return (
        "nothing" if not shapes else f"{len(shapes)} array(s) of {' and '.join(map(str, shapes))}"
    )
