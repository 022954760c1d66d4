"""The likelihoods that a decoder's raw output parameterizes, and the losses of training.

Functions are per example: negative log-likelihoods and losses are `[b]`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jaxgen.errors import require_positive
from jaxgen.pixels import symmetric_to_unit, to_symmetric, to_unit
from jaxgen.types import Scalar, UnitImages
from jaxgen.vae.likelihoods import (
    PerExample,
    bernoulli_nll,
    clipped_logistic_mean,
    discretized_logistic_nll,
    discretized_logistic_sample,
    gaussian_nll,
    gaussian_sample,
    pixel_mse,
)

Images = Float[Array, "b h w c"]  # in the range of the objective
Outputs = Float[Array, "b h w _"]  # a decoder's raw outputs, before any activation


class Objective(NamedTuple):
    """The likelihood that a decoder's raw output parameterizes, and the training loss."""

    observe: Callable[[UInt8[Array, "b h w c"], Key[Array, ""]], Images]
    """The model's input from 8-bit pixels; the key serves binarization or dequantization."""
    mean: Callable[[Outputs], UnitImages]
    """The expected image."""
    reconstruction: Callable[[Outputs, Images], PerExample]
    """-log p(x | z) in nats."""
    loss: Callable[[Outputs, Images, PerExample], PerExample]
    """The training loss, from output, x and the weighted KL in nats."""
    simulate: Callable[[Outputs, Key[Array, ""]], Images]
    """x ~ p(x | z)."""
    num_outputs: int = 1
    """Decoder outputs per channel."""
    level: float | None = None
    """The `level` of `bits_per_dim`; None if this is no likelihood of 8-bit pixels."""


class FittedObjective(NamedTuple):
    """A likelihood with a variance that is fitted to the training data.

    As with the statistics of BatchNorm, a step uses that of its batch, and everything else uses a
    running average, which is part of the state.
    """

    estimate: Callable[[Outputs, Images], Float[Array, ""]]
    """The variance with the largest likelihood of a batch."""
    given: Callable[[Scalar], Objective]
    """The objective with a variance."""


def bernoulli() -> Objective:
    """The ELBO under Bernoulli pixels, with dynamic binarization (Burda et al. 2016, sec. 5.1).

    Each time an image is seen, every pixel is sampled as 1 with its gray value as probability.
    """

    def observe(image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> Images:
        return jax.random.bernoulli(key, to_unit(image)).astype(jnp.float32)

    return Objective(
        observe=observe,
        mean=jax.nn.sigmoid,
        reconstruction=bernoulli_nll,
        loss=lambda output, x, kl: bernoulli_nll(output, x) + kl,
        simulate=lambda output, key: jax.random.bernoulli(key, jax.nn.sigmoid(output)).astype(
            jnp.float32
        ),
    )


MIN_LOG_SCALE = -7.0  # an eighth of a level, so that one bin has 97 % of the probability
MAX_LOG_SCALE = 7.0


def logistic() -> Objective:
    """The ELBO under 8-bit pixels whose levels have the exact probabilities of a rounded logistic.

    The decoder outputs the means, then the raw log-scales, per pixel and channel. Scales are in
    units of [-1, 1] and bounded as in PixelCNN++ (Salimans et al. 2017, sec. 2.1, with a single
    component and independent channels).
    """

    def parameters(output: Outputs) -> tuple[Images, Images]:
        mean, raw = jnp.split(output, 2, axis=-1)
        return mean, _softly_above(MIN_LOG_SCALE, jnp.minimum(raw, MAX_LOG_SCALE))

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return discretized_logistic_nll(*parameters(output), x)

    return Objective(
        observe=lambda image, key: to_symmetric(image),
        mean=lambda output: symmetric_to_unit(clipped_logistic_mean(*parameters(output))),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: discretized_logistic_sample(*parameters(output), key),
        num_outputs=2,
        level=1.0,
    )


Activation = Literal["sigmoid", "tanh"]


def gaussian(activation: Activation, variance: float) -> Objective:
    """The ELBO under Gaussian pixels with a fixed variance, in units of the activation's range.

    Raises InputError if the variance is not positive.
    """
    require_positive(variance=variance)
    return _gaussian(_pixel_range(activation), variance)


def gaussian_fitted(activation: Activation) -> FittedObjective:
    """The ELBO under dequantized Gaussian pixels, whose variance is the mean squared error.

    One variance for all pixels, the optimal one of Rybkin et al. 2021 (sec. 4.2). Pixels are
    dequantized by uniform noise, so that their density is bounded and the bits per dimension are an
    upper bound on those of the 8-bit pixels.
    """
    pixels = _pixel_range(activation)
    level = 1 / 256 if activation == "sigmoid" else 2 / 256

    def observe(image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> Images:
        return pixels.scale((image + jax.random.uniform(key, image.shape)) * (255 / 256))

    def mean(output: Outputs) -> UnitImages:
        dequantized = pixels.unit(pixels.activate(output))
        return jnp.clip((256 * dequantized - 0.5) / 255, 0, 1)

    def given(variance: Scalar) -> Objective:
        objective = _gaussian(pixels, variance)
        return objective._replace(observe=observe, mean=mean, level=level)

    return FittedObjective(
        estimate=lambda output, x: pixel_mse(pixels.activate(output), x).mean(), given=given
    )


MIN_LOGVAR = -6.0  # without it, constant pixels drive the likelihood to infinity


def gaussian_learned(activation: Activation) -> Objective:
    """The ELBO under Gaussian pixels with learned variances, softly bounded below by exp(-6).

    The decoder outputs the means, then the raw log-variances (Rybkin et al. 2021, sec. 4).
    """
    pixels = _pixel_range(activation)

    def parameters(output: Outputs) -> tuple[Images, Images]:
        mean, raw = jnp.split(output, 2, axis=-1)
        return pixels.activate(mean), _softly_above(MIN_LOGVAR, raw)

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(*parameters(output), x)

    return Objective(
        observe=lambda image, key: pixels.scale(image),
        mean=lambda output: pixels.unit(parameters(output)[0]),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: gaussian_sample(*parameters(output), key),
        num_outputs=2,
    )


def course(activation: Activation, kl_weight: float) -> Objective:
    """The course's loss: the pixel-mean squared error + kl_weight * KL (sec. 3.6).

    `kl_weight` is its `M_N`, batch size over data set size. With D pixel values the loss equals
    kl_weight times the negative ELBO under Gaussian pixels with variance D * kl_weight / 2, up to a
    constant; `reconstruction` is that of these pixels. Raises InputError if `kl_weight` is not
    positive.
    """
    require_positive(kl_weight=kl_weight)
    pixels = _pixel_range(activation)

    def logvar(x: Images | Outputs) -> Float[Array, ""]:
        return jnp.log(x[0].size * kl_weight / 2)

    return _gaussian(pixels, 1.0)._replace(
        reconstruction=lambda output, x: gaussian_nll(pixels.activate(output), logvar(x), x),
        loss=lambda output, x, kl: pixel_mse(pixels.activate(output), x) + kl_weight * kl,
        simulate=lambda output, key: gaussian_sample(pixels.activate(output), logvar(output), key),
    )


class _PixelRange(NamedTuple):
    """The range of a Gaussian decoder's means and of its targets."""

    activate: Callable[[Array], Array]
    scale: Callable[[Array], Array]  # from [0, 255]
    unit: Callable[[Array], Array]  # to [0, 1]


def _pixel_range(activation: Activation) -> _PixelRange:
    if activation == "sigmoid":
        return _PixelRange(jax.nn.sigmoid, to_unit, lambda x: x)
    return _PixelRange(jnp.tanh, to_symmetric, symmetric_to_unit)


def _gaussian(pixels: _PixelRange, variance: Scalar) -> Objective:
    logvar = jnp.log(variance)

    def reconstruction(output: Outputs, x: Images) -> PerExample:
        return gaussian_nll(pixels.activate(output), logvar, x)

    return Objective(
        observe=lambda image, key: pixels.scale(image),
        mean=lambda output: pixels.unit(pixels.activate(output)),
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: gaussian_sample(pixels.activate(output), logvar, key),
    )


def _softly_above(minimum: float, raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """Bound values below, with a gradient everywhere."""
    return minimum + jax.nn.softplus(raw - minimum)
