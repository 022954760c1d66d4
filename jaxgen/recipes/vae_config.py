"""The options of the variational autoencoders, and what they build."""

import dataclasses
from functools import partial
from typing import Literal

import jax.numpy as jnp
import optax

from jaxgen.errors import InputError, require_not_negative, require_positive
from jaxgen.recipes.recipe import Facts
from jaxgen.training.schedules import cosine_decay
from jaxgen.types import Learner
from jaxgen.vae import objectives
from jaxgen.vae.learner import Hypers, VAEState, vae
from jaxgen.vae.models import MLPVAE, ConvVAE

MAX_BINARIZATION_NOISE = 0.3  # digits and characters have 0.2, clothes 0.4, photographs 0.7


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a variational autoencoder, and draw samples and reconstructions."""

    model: Literal["conv", "mlp"] = "conv"
    """The course's convolutional VAE, or its MLP."""
    hidden_dims: tuple[int, ...] | None = None
    """Widths of the hidden layers; None: 32 64 128 256 512 (conv), 512 512 (mlp)."""
    latent_dim: int | None = None
    """Size of the latent space; None: 128 (conv), 32 (mlp)."""
    activation: Literal["relu", "tanh"] = "relu"
    """Activation of the MLP's hidden layers."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the factors of matrix products; their sums and everything else are float32."""

    objective: (
        Literal[
            "bernoulli", "logistic", "gaussian", "gaussian-fitted", "gaussian-learned", "course"
        ]
        | None
    ) = None
    """ELBO under binarized pixels (bernoulli), under 8-bit pixels (logistic), or under Gaussian
    pixels whose variance is fixed, fitted to the training data, or learned for each pixel; or the
    course's squared error with a weighted KL. None: bernoulli for nearly black-and-white images,
    gaussian-fitted for all others, since logistic needs far longer to learn colors."""
    variance: float = 0.1
    """Variance of a pixel, for the gaussian objective."""
    course_kl_weight: float = 0.00025
    """Weight of the KL relative to the mean squared error, for the course objective (its M_N)."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """Maximize the ELBO or the importance-weighted bound."""
    num_samples: int = 1
    """Latent samples per image."""
    kl_weight: float = 1.0
    """Factor on the KL (beta)."""
    kl_warmup_epochs: int = 0
    """Epochs over which the KL weight rises linearly from 0."""

    learning_rate: float = 1e-3
    """Initial learning rate of Adam."""
    final_learning_rate: float = 0.1
    """Share of the learning rate that is left at the end of its cosine decay; 1: no decay."""

    def __post_init__(self) -> None:
        values = {
            "--hidden-dims": self.hidden_dims,
            "--latent-dim": self.latent_dim,
            "--variance": self.variance,
            "--course-kl-weight": self.course_kl_weight,
            "--num-samples": self.num_samples,
            "--learning-rate": self.learning_rate,
        }
        require_positive(**{flag: value for flag, value in values.items() if value is not None})
        require_not_negative(
            **{"--kl-weight": self.kl_weight, "--kl-warmup-epochs": self.kl_warmup_epochs}
        )
        if self.model == "conv" and self.activation != "relu":
            raise InputError(f"--activation {self.activation} needs --model mlp.")
        if not 0 <= self.final_learning_rate <= 1:
            raise InputError(
                f"--final-learning-rate must be from 0 to 1, but is {self.final_learning_rate}."
            )


def choose_objective(config: Config, facts: Facts) -> tuple[str, str]:
    """Return the objective's name, and a notice of how it was chosen, or a warning about it."""
    is_color = facts.image_shape[-1] > 1
    is_binary = not is_color and facts.binarization_noise <= MAX_BINARIZATION_NOISE
    kind = "in color" if is_color else "nearly black and white" if is_binary else "gray"
    if config.objective is None:
        name, likelihood = (
            ("bernoulli", "the ELBO of binarized pixels")
            if is_binary
            else ("gaussian-fitted", "the ELBO of 8-bit pixels")
        )
        return name, f"objective {name}, {likelihood}: the images are {kind}"
    if config.objective == "bernoulli" and not is_binary:
        return "bernoulli", (
            f"warning: objective bernoulli models randomly binarized pixels, and the images are "
            f"{kind}: {facts.binarization_noise:.0%} of the variance that it sees is noise. "
            "Omit --objective for a likelihood of 8-bit pixels."
        )
    return config.objective, ""


def make_objective(
    config: Config, facts: Facts
) -> objectives.Objective | objectives.FittedObjective:
    """Create the likelihood and the loss."""
    activation = "tanh" if config.model == "conv" else "sigmoid"
    return {
        "bernoulli": objectives.bernoulli,
        "logistic": objectives.logistic,
        "gaussian": partial(objectives.gaussian, activation, config.variance),
        "gaussian-fitted": partial(objectives.gaussian_fitted, activation),
        "gaussian-learned": partial(objectives.gaussian_learned, activation),
        "course": partial(objectives.course, activation, config.course_kl_weight),
    }[choose_objective(config, facts)[0]]()


def make_model(config: Config, facts: Facts) -> ConvVAE | MLPVAE:
    """Create the network."""
    objective = make_objective(config, facts)
    sizes = {"hidden_dims": config.hidden_dims, "latent_dim": config.latent_dim}
    make = {"conv": ConvVAE, "mlp": partial(MLPVAE, activation=config.activation)}[config.model]
    return make(
        image_shape=facts.image_shape,
        dtype=jnp.dtype(config.dtype),
        num_outputs=objective.num_outputs if isinstance(objective, objectives.Objective) else 1,
        **{name: value for name, value in sizes.items() if value is not None},
    )


def make_learner(config: Config, facts: Facts) -> Learner[VAEState, Hypers]:
    """Create the training algorithm."""
    warmup = config.kl_warmup_epochs * facts.steps_per_epoch
    return vae(
        make_model(config, facts),
        make_objective(config, facts),
        bound=config.bound,
        num_samples=config.num_samples,
        optimizer=cosine_decay(
            optax.adam, facts.num_epochs * facts.steps_per_epoch, config.final_learning_rate
        ),
        kl_schedule=optax.linear_schedule(0, 1, warmup) if warmup else optax.constant_schedule(1),
    )


def settings(config: Config, facts: Facts) -> dict[str, object]:
    """Fill in the options that depend on the data and the model, and drop those without effect."""
    model, (objective, _) = make_model(config, facts), choose_objective(config, facts)
    chosen = {
        "hidden_dims": model.hidden_dims,
        "latent_dim": model.latent_dim,
        "objective": objective,
    }
    is_used = {
        "activation": config.model == "mlp",
        "variance": objective == "gaussian",
        "course_kl_weight": objective == "course",
    }
    return {k: v for k, v in (vars(config) | chosen).items() if is_used.get(k, True)}
