"""The course's conditional GAN, with a convolutional discriminator, on colored shapes.

    python -m experiments.cgan_shapes

A classifier recognizes 99 % of its samples, which vary little within a class.
The course's discriminator, an MLP, learns the colors of these images long before their shapes. This
one is a network of one's own in the recipe of the conditional GAN. `--help` lists all options.
"""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.commands.train import main
from jaxgen.gan.learner import GANState, Hypers, adam, cgan
from jaxgen.layers import Conv
from jaxgen.recipes import cgan as recipe
from jaxgen.recipes.recipe import Facts, Task
from jaxgen.runner.options import DataOptions, TrainingOptions
from jaxgen.training.schedules import cosine_decay
from jaxgen.types import Labels, Learner, SymmetricImages


class Discriminator(nn.Module):
    """Three convolutions that halve the image, with dropout after all but the first.

    The features are compared with those of the label (Miyato & Koyama 2018, eq. 3).
    """

    num_classes: int
    features: tuple[int, ...] = (32, 64, 128)
    dropout_rate: float = 0.4

    @nn.compact
    def __call__(
        self, images: SymmetricImages, labels: Labels, *, train: bool
    ) -> Float[Array, "n"]:
        """Compute logits."""
        x = images
        for i, features in enumerate(self.features):
            x = nn.leaky_relu(Conv(features, strides=(2, 2))(x), 0.2)
            if i > 0:
                x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        similarity = jnp.sum(nn.Embed(self.num_classes, x.shape[-1])(labels) * x, axis=-1)
        return nn.Dense(1)(x).squeeze(-1) + similarity


def make_learner(config: recipe.Config, facts: Facts) -> Learner[GANState, Hypers]:
    """Create the training algorithm; the options of the course's discriminator have no effect."""
    generator, _ = recipe.make_models(config, facts)
    num_steps = facts.num_epochs * facts.steps_per_epoch
    return cgan(
        generator,
        Discriminator(facts.num_classes),
        recipe.OBJECTIVES[config.objective](),
        optimizer=cosine_decay(adam, num_steps, config.final_learning_rate),
        ema_decay=config.ema_decay,
    )


def build(config: recipe.Config, facts: Facts) -> Task[GANState, Hypers]:
    """Create the functions of a run."""
    return recipe.make_task(make_learner(config, facts), facts, config.latent_dim)


RECIPE = dataclasses.replace(recipe.RECIPE, name="cgan_shapes", build=build, torch_names=None)
CONFIG = recipe.Config(
    objective="non-saturating",  # jaxgen.gan.objectives.non_saturating
    generator_dims=(128, 256, 512),  # of jaxgen.gan.models.Generator
    learning_rate=5e-4,  # of Adam with b1 = 0.5, for both networks
    ema_decay=0.99,  # samples come from a moving average of the generator
)
DATA = DataOptions(dataset="shapes", image_size=32)
TRAINING = TrainingOptions(epochs=20)

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA, training=TRAINING)
