"""Variational autoencoders and a conditional GAN as pure functions, in JAX and Flax."""

__version__ = "0.1.0"
