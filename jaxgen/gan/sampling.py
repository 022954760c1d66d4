"""Draw from the generator of a conditional GAN, and evaluate both networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxgen.batch import check_labels
from jaxgen.gan.state import GAN, GANState
from jaxgen.pixels import symmetric_to_unit, to_symmetric
from jaxgen.types import Batch, Labels, Metrics, SymmetricImages, UnitImages

NUM_TOGETHER = 256  # images of all classes have about the statistics of a training batch


def evaluate(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> Metrics:
    """Compute losses without dropout or label smoothing, on fakes drawn as by `sample`."""
    noise, label = random_inputs(gan, batch.label.shape[0], *jax.random.split(key))
    fake = _draw(gan, state, noise, label)
    discriminator = partial(gan.discriminator.apply, state.discriminator.variables, train=False)
    real_logits = discriminator(to_symmetric(batch.image), batch.label)
    fake_logits = discriminator(fake, label)
    return {
        "generator_loss": gan.objective.generator(fake_logits),
        "discriminator_loss": gan.objective.discriminator(real_logits, fake_logits),
        "d_real": gan.objective.score(real_logits),
        "d_fake": gan.objective.score(fake_logits),
    }


def generate(gan: GAN, state: GANState, labels: Labels, z: Float[Array, "n d"]) -> UnitImages:
    """Generate images; under `jit`, those with labels out of range are NaN."""
    check_labels(labels, gan.generator.num_classes)
    return symmetric_to_unit(_draw(gan, state, z, labels))


def generate_mixture(
    gan: GAN, state: GANState, weights: Float[Array, "n k"], z: Float[Array, "n d"]
) -> UnitImages:
    """Generate images between classes, from the weight of each class."""
    return symmetric_to_unit(_draw(gan, state, z, weights))


def sample(gan: GAN, state: GANState, labels: Labels, key: Key[Array, ""]) -> UnitImages:
    """Draw an image for each label."""
    noise = jax.random.normal(key, (labels.shape[0], gan.generator.latent_dim))
    return generate(gan, state, labels, noise)


def _draw(
    gan: GAN, state: GANState, noise: Float[Array, "n d"], label: Labels | Float[Array, "n k"]
) -> SymmetricImages:
    average = {} if gan.ema_decay is None else state.ema
    variables = {**state.generator.variables, **average}
    if gan.sample_statistics == "running":
        return gan.generator.apply(variables, noise, label, train=False)
    num_images = label.shape[0]
    if num_images < NUM_TOGETHER:  # the statistics of one image would erase it
        other_noise, other_label = _other_inputs(gan, NUM_TOGETHER - num_images)
        noise = jnp.concatenate([noise, other_noise])
        if label.ndim == 2:
            other_label = jax.nn.one_hot(other_label, gan.generator.num_classes)
        label = jnp.concatenate([label, other_label])
    mutable = state.generator.mutable  # and the updates are not used
    image, _ = gan.generator.apply(variables, noise, label, train=True, mutable=mutable)
    return image[:num_images]


def random_inputs(
    gan: GAN, num_images: int, label_key: Key[Array, ""], noise_key: Key[Array, ""]
) -> tuple[Float[Array, "{num_images} d"], Int[Array, "{num_images}"]]:
    """Draw noise, and labels that are uniform over the classes."""
    label = jax.random.randint(label_key, (num_images,), 0, gan.generator.num_classes)
    return jax.random.normal(noise_key, (num_images, gan.generator.latent_dim)), label


def _other_inputs(
    gan: GAN, num_images: int
) -> tuple[Float[np.ndarray, "{num_images} d"], Int[np.ndarray, "{num_images}"]]:
    """Return noise and labels that are the same in every program and use no key."""
    noise = np.random.default_rng(0).standard_normal((num_images, gan.generator.latent_dim))
    label = np.arange(num_images, dtype=np.int32) % gan.generator.num_classes
    return noise.astype(np.float32), label
