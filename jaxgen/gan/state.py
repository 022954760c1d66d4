"""The state of a conditional GAN, its hyperparameters and its static structure."""

from typing import Literal, NamedTuple

from jaxtyping import Array, Float, Int, PyTree

from jaxgen.gan.models import DiscriminatorNetwork, GeneratorNetwork
from jaxgen.gan.objectives import Objective, Penalty
from jaxgen.types import Scalar, TrainState


class Hypers(NamedTuple):
    """Hyperparameters, which may differ between the members of a population."""

    generator_learning_rate: Scalar = 2e-4
    discriminator_learning_rate: Scalar = 2e-4
    penalty_weight: Scalar = 10.0
    """Factor on the penalty: lambda of `gradient_penalty`, gamma of `r1`."""


class GANState(NamedTuple):
    """The states of both networks and, optionally, a moving average of the generator."""

    generator: TrainState
    discriminator: TrainState
    ema: PyTree
    """Exponential moving average of the generator's parameters and batch statistics, or None."""
    penalty_weight: Float[Array, ""]

    @property
    def step(self) -> Int[Array, "..."]:
        """The number of updates of the generator so far."""
        return self.generator.step


class GAN(NamedTuple):
    """The static structure of a conditional GAN: networks, losses and options of `cgan`."""

    generator: GeneratorNetwork
    discriminator: DiscriminatorNetwork
    objective: Objective
    num_discriminator_steps: int
    label_smoothing: float
    penalty: Penalty | None
    ema_decay: float | None
    sample_statistics: Literal["batch", "running"]
