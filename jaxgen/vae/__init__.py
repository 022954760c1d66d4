"""The variational autoencoder (Kingma & Welling, 2014)."""

from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE
from jaxgen.vae.objectives import (
    bernoulli,
    course,
    gaussian,
    gaussian_fitted,
    gaussian_learned,
    logistic,
)

__all__ = [
    "MLPVAE",
    "ConvVAE",
    "Hypers",
    "bernoulli",
    "course",
    "gaussian",
    "gaussian_fitted",
    "gaussian_learned",
    "logistic",
    "vae",
]
