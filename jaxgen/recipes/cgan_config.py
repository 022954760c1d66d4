"""The options of the conditional GAN, and what they build."""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from jaxgen.errors import InputError, require_not_negative, require_positive
from jaxgen.gan import objectives
from jaxgen.gan.convolutional import ConvDiscriminator, ConvGenerator
from jaxgen.gan.learner import GANState, Hypers, adam, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.recipes.recipe import Facts
from jaxgen.training.schedules import cosine_decay
from jaxgen.types import Learner

OBJECTIVES = {
    "least-squares": objectives.least_squares,
    "minimax": objectives.minimax,
    "non-saturating": objectives.non_saturating,
    "hinge": objectives.hinge,
    "wasserstein": objectives.wasserstein,
}
MLP_DIMS = (128, 256, 512, 1024), (512, 512, 512)  # of generator and discriminator
WIDTHS, SMALLEST_MAP = (16, 64), 4  # of the convolutional networks
PENALTIES = {"none": None, "gradient": objectives.gradient_penalty, "r1": objectives.r1}


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a conditional GAN, and check with a classifier whether samples show their class."""

    model: Literal["conv", "mlp"] | None = None
    """Convolutional networks, or the course's MLPs. None: conv for color, mlp for gray images."""
    generator_dims: tuple[int, ...] | None = None
    """Widths of the generator's hidden layers; None: 128 256 512 1024 (mlp), 64 32 16 (conv, for
    32x32 images; one layer more for each doubling)."""
    discriminator_dims: tuple[int, ...] | None = None
    """Widths of the discriminator's hidden layers; None: 512 512 512 (mlp), 16 32 64 (conv)."""
    latent_dim: int = 100
    """Size of the noise."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the factors of matrix products; their sums and everything else are float32."""

    objective: Literal["least-squares", "minimax", "non-saturating", "hinge", "wasserstein"] = (
        "non-saturating"
    )
    """The losses of the two networks."""
    penalty: Literal["none", "gradient", "r1"] = "none"
    """Penalty on the discriminator's gradient between real images and fakes (gradient) or at real
    images (r1)."""
    penalty_weight: float = 10.0
    """Factor on the penalty."""
    num_discriminator_steps: int = 1
    """Updates of the discriminator per update of the generator; they share a batch."""
    label_smoothing: float = 0.0
    """Share of the real images that the discriminator is trained to classify as fake."""
    ema_decay: float | None = 0.999
    """Decay per step of the moving average of the generator that draws the samples; None: the
    generator itself draws them."""
    sample_statistics: Literal["batch", "running"] = "batch"
    """Normalize samples by the statistics of those drawn together, as the course does (batch), or
    by running averages (running)."""

    learning_rate: float = 2e-4
    """Initial learning rate of Adam, for both networks."""
    final_learning_rate: float = 1.0
    """Share of the learning rate that is left at the end of its cosine decay; 1: no decay."""

    def __post_init__(self) -> None:
        values = {
            "--num-discriminator-steps": self.num_discriminator_steps,
            "--generator-dims": self.generator_dims,
            "--discriminator-dims": self.discriminator_dims,
            "--latent-dim": self.latent_dim,
            "--learning-rate": self.learning_rate,
        }
        require_positive(**{flag: value for flag, value in values.items() if value is not None})
        require_not_negative(**{"--penalty-weight": self.penalty_weight})
        shares = {"--label-smoothing": self.label_smoothing, "--ema-decay": self.ema_decay}
        for flag, share in shares.items():
            if share is not None and not 0 <= share < 1:
                raise InputError(f"{flag} must be at least 0 and less than 1, but is {share}.")
        if not 0 <= self.final_learning_rate <= 1:
            raise InputError(
                f"--final-learning-rate must be from 0 to 1, but is {self.final_learning_rate}."
            )


def choose_model(config: Config, facts: Facts) -> tuple[str, str]:
    """Return the model's name, and a notice of how it was chosen, if the options leave it open."""
    if config.model is not None:
        return config.model, ""
    if facts.image_shape[-1] > 1:
        return "conv", "model conv, convolutional networks: the images are in color"
    return "mlp", "model mlp, the course's networks: the images are gray"


def make_models(
    config: Config, facts: Facts
) -> tuple[Generator, Discriminator] | tuple[ConvGenerator, ConvDiscriminator]:
    """Create the generator and the discriminator."""
    shape, num_classes = facts.image_shape, facts.num_classes
    is_conv = choose_model(config, facts)[0] == "conv"
    widths = conv_widths(shape)
    defaults = (widths, widths[::-1]) if is_conv else MLP_DIMS
    g_dims, d_dims = (
        default if dims is None else dims
        for dims, default in zip(
            (config.generator_dims, config.discriminator_dims), defaults, strict=True
        )
    )
    dtype = jnp.dtype(config.dtype)
    if is_conv:
        return (
            ConvGenerator(shape, config.latent_dim, num_classes, g_dims, dtype),
            ConvDiscriminator(shape, num_classes, d_dims, dtype),
        )
    return (
        Generator(shape, config.latent_dim, num_classes, g_dims, dtype),
        Discriminator(shape, num_classes, d_dims, dtype=dtype),
    )


def settings(config: Config, facts: Facts) -> dict[str, object]:
    """Fill in the defaults that follow from the data, and drop the options without effect."""
    generator, discriminator = make_models(config, facts)
    unused = ["penalty_weight"] if config.penalty == "none" else []
    chosen = {
        "model": choose_model(config, facts)[0],
        "generator_dims": generator.hidden_dims,
        "discriminator_dims": discriminator.hidden_dims,
    }
    return {name: value for name, value in (vars(config) | chosen).items() if name not in unused}


def conv_widths(image_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the widths of the layers that double a map of 4 to 7 pixels to the image."""
    (narrowest, widest), (height, width, _) = WIDTHS, image_shape
    num_layers = max(1, (min(height, width) // SMALLEST_MAP).bit_length() - 1)
    return tuple(max(narrowest, widest >> i) for i in range(num_layers))


def make_learner(config: Config, facts: Facts) -> Learner[GANState, Hypers]:
    """Create the training algorithm."""
    return cgan(
        *make_models(config, facts),
        OBJECTIVES[config.objective](),
        optimizer=cosine_decay(
            adam, facts.num_epochs * facts.steps_per_epoch, config.final_learning_rate
        ),
        num_discriminator_steps=config.num_discriminator_steps,
        label_smoothing=config.label_smoothing,
        penalty=PENALTIES[config.penalty],
        ema_decay=config.ema_decay,
        sample_statistics=config.sample_statistics,
    )
