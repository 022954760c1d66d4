"""The points of a latent space that pictures of it show.

The prior is N(0, I), and q(z | x) is a diagonal Gaussian.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Latents = Float[np.ndarray, "n d"]

NUM_MOVES = 100  # of points that move apart
NEARLY_PARALLEL = 1e-4  # radians, below which a great circle equals a straight line


class Projection(NamedTuple):
    """Points projected onto their principal components."""

    points: Float[np.ndarray, "n k"]
    share: Float[np.ndarray, "k"]
    """The share of the variance along each component."""


def unit_kl_nats(mean: Latents, logvar: Latents) -> Float[np.ndarray, "d"]:
    """Compute KL(q(z_i | x) || p(z_i)) of each dimension, as the mean over the images; in nats."""
    return 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0)


def most_active(mean: Latents, num: int) -> Int[np.ndarray, "k"]:
    """List the dimensions with the largest Cov_x(E[z | x]) (Burda et al. 2016), most active first.

    `mean` holds the posterior means E[z | x] of many images.
    """
    return np.argsort(-mean.var(axis=0), kind="stable")[:num]


def traversal(
    start: Float[np.ndarray, "d"], unit: int, values: Float[np.ndarray, "v"]
) -> Float[np.ndarray, "v d"]:
    """Replace one coordinate of a latent by each of the values."""
    z = np.tile(start, (len(values), 1))
    z[:, unit] = values
    return z


def straight(
    start: Float[np.ndarray, "d"], end: Float[np.ndarray, "d"], num: int
) -> Float[np.ndarray, "{num} d"]:
    """Interpolate linearly; both ends are among the `num` latents."""
    share = np.linspace(0, 1, num)[:, None]
    return (1 - share) * start[None] + share * end[None]


def spherical(
    start: Float[np.ndarray, "d"], end: Float[np.ndarray, "d"], num: int
) -> Float[np.ndarray, "{num} d"]:
    """Interpolate along a great circle, with the norm changing linearly (White 2016, sec. 2.1).

    Samples of the prior lie near a sphere in high dimensions, which a straight line leaves. Where
    the angle is 0 or undefined, the result is the straight line.
    """
    norms = np.linalg.norm(start), np.linalg.norm(end)
    if min(norms) == 0:
        return straight(start, end, num)
    a, b = start / norms[0], end / norms[1]
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if angle < NEARLY_PARALLEL or angle > np.pi - NEARLY_PARALLEL:
        return straight(start, end, num)
    share = np.linspace(0, 1, num)[:, None]
    direction = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return ((1 - share) * norms[0] + share * norms[1]) * direction


def quantiles(num: int) -> Float[np.ndarray, "{num}"]:
    """Space values so that the prior has the same probability between any two neighbors."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / num) for i in range(num)])


def square(num: int) -> Float[np.ndarray, "n 2"]:
    """Cover a 2-D latent space at the quantiles of its prior (Kingma and Welling 2014, fig. 4).

    The num x num latents are in rows; the first coordinate increases to the right, the second
    upwards.
    """
    x, y = np.meshgrid(quantiles(num), quantiles(num)[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def apart(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Move points away from each other until hardly any two are closer than 1."""
    points = points + 1e-6 * np.arange(len(points))[:, None]  # no two are equal
    for _ in range(NUM_MOVES):
        way = points[:, None] - points[None]
        gap = np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-9)
        points = points + (way / gap * np.maximum(1 - gap, 0)).sum(axis=1) / 4
    return points


def principal_components(points: Latents, num: int = 2) -> Projection:
    """Project points, less their mean, onto the directions of their largest variance."""
    centered = points - points.mean(axis=0)
    _, scales, directions = np.linalg.svd(centered, full_matrices=False)
    variances = scales**2
    share = variances / variances.sum() if variances.any() else variances
    return Projection(centered @ directions[:num].T, share[:num])
