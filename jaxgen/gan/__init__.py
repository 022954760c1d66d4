"""The conditional GAN (Goodfellow et al. 2014; Mirza & Osindero 2014)."""

from jaxgen.gan.convolutional import ConvDiscriminator, ConvGenerator
from jaxgen.gan.learner import Hypers, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.gan.objectives import hinge, least_squares, minimax, non_saturating, wasserstein

__all__ = [
    "ConvDiscriminator",
    "ConvGenerator",
    "Discriminator",
    "Generator",
    "Hypers",
    "cgan",
    "hinge",
    "least_squares",
    "minimax",
    "non_saturating",
    "wasserstein",
]
