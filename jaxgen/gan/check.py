"""Check that two Flax modules are the networks of a conditional GAN."""

from functools import partial

import jax
import jax.numpy as jnp
from flax.errors import InvalidRngError
from jaxtyping import PyTree

from jaxgen.errors import InputError, require_positive
from jaxgen.gan.models import DiscriminatorNetwork, GeneratorNetwork
from jaxgen.networks import check_members, check_updates, final_activation, trace

NUM_IMAGES = 2  # of the traced batch


def check_networks(
    generator: GeneratorNetwork, discriminator: DiscriminatorNetwork, *, samples_in_training: bool
) -> None:
    """Raise an InputError that names what a network lacks, or in what the two disagree.

    Both are traced in training and in evaluation. `samples_in_training` says that samples, too, are
    drawn by the generator in training, which then must not draw random numbers itself.
    """
    check_members(generator, GeneratorNetwork)
    check_members(discriminator, DiscriminatorNetwork)
    require_positive(latent_dim=generator.latent_dim, num_classes=generator.num_classes)
    noise = jax.ShapeDtypeStruct((NUM_IMAGES, generator.latent_dim), jnp.float32)
    labels = jax.ShapeDtypeStruct((NUM_IMAGES,), jnp.int32)

    name = type(generator).__name__
    evaluate = partial(generator.apply, train=False)
    variables = _init(generator, noise, labels)
    images, jaxpr = trace(name, evaluate, variables, noise, labels)
    wanted = (NUM_IMAGES, *generator.image_shape)
    if images.shape != wanted:
        raise InputError(
            f"{name} returns shape {images.shape} for {NUM_IMAGES} images, and its image_shape "
            f"demands {wanted}."
        )
    if final_activation(jaxpr) == "sigmoid":
        raise InputError(f"{name} ends with a sigmoid, and images are in [-1, 1]: use nn.tanh.")
    _check_training(name, generator, variables, noise, labels)
    if samples_in_training and _draws_random_numbers(generator, variables, noise, labels):
        raise InputError(
            f"{name} draws random numbers while train=True, and sample_statistics='batch' draws "
            "samples in that mode: choose sample_statistics='running'."
        )

    name = type(discriminator).__name__
    evaluate = partial(discriminator.apply, train=False)
    variables = _init(discriminator, images, labels)
    logits, jaxpr = trace(name, evaluate, variables, images, labels)
    if logits.shape != (NUM_IMAGES,):
        raise InputError(
            f"{name} returns shape {logits.shape} for {NUM_IMAGES} images, and must return a logit "
            f"for each, of shape ({NUM_IMAGES},)."
        )
    if activation := final_activation(jaxpr):
        raise InputError(
            f"{name} ends with a {activation}, and the losses take logits: return the values "
            "before it."
        )
    _check_training(name, discriminator, variables, images, labels)


def accepts_class_weights(generator: GeneratorNetwork) -> bool:
    """Return whether a generator also takes weights of its classes, [n, num_classes], as labels."""
    noise = jax.ShapeDtypeStruct((NUM_IMAGES, generator.latent_dim), jnp.float32)
    labels = jax.ShapeDtypeStruct((NUM_IMAGES,), jnp.int32)
    weights = jax.ShapeDtypeStruct((NUM_IMAGES, generator.num_classes), jnp.float32)
    variables = _init(generator, noise, labels)
    try:
        images = jax.eval_shape(partial(generator.apply, train=False), variables, noise, weights)
    except Exception:  # of any class: the network was not written for them
        return False
    return images.shape == (NUM_IMAGES, *generator.image_shape)


def _init(
    network: GeneratorNetwork | DiscriminatorNetwork, *inputs: jax.ShapeDtypeStruct
) -> PyTree[jax.ShapeDtypeStruct]:
    return jax.eval_shape(partial(network.init, train=False), jax.random.key(0), *inputs)


def _check_training(
    name: str,
    network: GeneratorNetwork | DiscriminatorNetwork,
    variables: PyTree,
    *inputs: jax.ShapeDtypeStruct,
) -> None:
    collections = [collection for collection in variables if collection != "params"]
    step = partial(network.apply, train=True, mutable=collections, rngs=jax.random.key(0))
    check_updates(name, variables, jax.eval_shape(step, variables, *inputs)[1])


def _draws_random_numbers(
    network: GeneratorNetwork, variables: PyTree, *inputs: jax.ShapeDtypeStruct
) -> bool:
    collections = [collection for collection in variables if collection != "params"]
    step = partial(network.apply, train=True, mutable=collections)
    try:
        jax.eval_shape(step, variables, *inputs)
    except InvalidRngError:
        return True
    return False
