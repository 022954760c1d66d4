"""Nearest neighbors in feature space: how much two sets of features cover each other.

Distances are computed in float64, a block of rows at a time, so that memory is linear in the size
of the sets.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

BLOCK_SIZE = 2**22  # distances in memory at a time: 32 MB
NUM_REFERENCES = 8192  # in float64 at a time


class Coverage(NamedTuple):
    """How well samples and real images cover each other, all but density in [0, 1]."""

    precision: float
    """Share of samples that lie in a ball around a real image (Kynkäänniemi et al. 2019)."""
    recall: float
    """Share of real images that lie in a ball around a sample."""
    density: float
    """Number of real balls that a sample lies in, over k (Naeem et al. 2020, eq. 3)."""
    coverage: float
    """Share of real images whose ball contains a sample (Naeem et al. 2020, eq. 4)."""


def coverage(
    real: Float[np.ndarray, "n d"], fake: Float[np.ndarray, "m d"], nearest_k: int
) -> Coverage:
    """Compute precision, recall, density and coverage.

    The ball around a feature vector reaches to its k-th nearest neighbor in its own set. Raises
    ValueError unless both sets have more than `nearest_k` vectors.
    """
    real_radius, fake_radius = radii(real, nearest_k), radii(fake, nearest_k)
    num_balls = np.zeros(len(fake))
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, distance in distance_blocks(real, fake):
        inside = distance < real_radius[rows, None]
        num_balls += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (distance < fake_radius).any(axis=1)
    return Coverage(
        precision=float((num_balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(num_balls.mean() / nearest_k),
        coverage=float(covered.mean()),
    )


def radii(features: Float[np.ndarray, "n d"], nearest_k: int) -> Float[np.ndarray, "n"]:
    """Compute the distance of each vector to its k-th nearest neighbor among the others."""
    if len(features) <= nearest_k:
        raise ValueError(f"{len(features)} vectors have no {nearest_k} nearest neighbors.")
    result = np.empty(len(features))
    for rows, distance in distance_blocks(features, features):
        # the vector itself is the nearest
        result[rows] = np.partition(distance, nearest_k, axis=1)[:, nearest_k]
    return result


class Nearest(NamedTuple):
    """The nearest neighbor of each query."""

    distance: Float[np.ndarray, "n"]
    row: Int[np.ndarray, "n"]
    """Of the reference."""


def nearest(query: Shaped[np.ndarray, "n d"], reference: Shaped[np.ndarray, "m d"]) -> Nearest:
    """Find the nearest reference of each query."""
    best = Nearest(np.full(len(query), np.inf), np.zeros(len(query), np.int64))
    for start in range(0, len(reference), NUM_REFERENCES):
        for rows, distance in distance_blocks(query, reference[start : start + NUM_REFERENCES]):
            index = distance.argmin(axis=1)
            smallest = distance[np.arange(len(index)), index]
            nearer = smallest < best.distance[rows]
            best.distance[rows][nearer] = smallest[nearer]
            best.row[rows][nearer] = start + index[nearer]
    return best


class Memorization(NamedTuple):
    """Whether images are nearer to the training images than to as many held-out ones."""

    share_nearer: float
    """Share of images nearer to the training set; 0.5 for images that are independent of it."""
    standard_error: float
    median_ratio: float
    """Median of the distance to the nearest training image over that to the nearest held-out."""


def memorization(
    image: Shaped[np.ndarray, "n d"],
    train: Shaped[np.ndarray, "m d"],
    held_out: Shaped[np.ndarray, "m d"],
) -> Memorization:
    """Compare the distances of images to the training set and to a held-out set of its size.

    Both sets have the same distribution, so that a model that has learned it rather than the
    training images is as near to one as to the other. Ties count half.
    """
    to_train, to_held_out = nearest(image, train).distance, nearest(image, held_out).distance
    share = float(((to_train < to_held_out) + 0.5 * (to_train == to_held_out)).mean())
    smallest = np.finfo(np.float64).tiny  # where an image is in both sets, the ratio is 1
    ratio = (to_train + smallest) / (to_held_out + smallest)
    error = float(np.sqrt(share * (1 - share) / len(image)))
    return Memorization(share, error, float(np.median(ratio)))


def distance_blocks(
    one: Shaped[np.ndarray, "n d"], other: Shaped[np.ndarray, "m d"]
) -> Iterator[tuple[slice, Float[np.ndarray, "b m"]]]:
    """Yield the Euclidean distances of a block of rows of `one` to all of `other`."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    squares, other_squares = (one**2).sum(axis=1), (other**2).sum(axis=1)
    size = max(1, BLOCK_SIZE // len(other))
    for start in range(0, len(one), size):
        rows = slice(start, min(start + size, len(one)))
        squared = squares[rows, None] + other_squares - 2 * one[rows] @ other.T
        yield rows, np.sqrt(np.maximum(squared, 0))
