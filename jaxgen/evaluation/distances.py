"""Distances between two sets of features, in float64 on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Features = Float[np.ndarray, "n d"]


def frechet_distance(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> float:
    """Compute the squared Fréchet distance between Gaussians fitted to both sets.

    |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) with unbiased covariances (Heusel et al.
    2017, eq. 6). The eigenvalues of S_1 S_2 are those of the symmetric S_1^(1/2) S_2 S_1^(1/2), so
    that singular covariances cause no complex roots.
    """
    (mean, covariance), (other_mean, other_covariance) = _moments(one), _moments(other)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ other_covariance @ root)
    cross = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    squared = ((mean - other_mean) ** 2).sum()
    return float(squared + np.trace(covariance) + np.trace(other_covariance) - 2 * cross)


class KernelDistance(NamedTuple):
    """An estimate of the squared maximum mean discrepancy; it may be negative."""

    mean: float
    standard_error: float


def kernel_distance(
    one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"], num_blocks: int = 10
) -> KernelDistance:
    """Estimate the squared MMD under the kernel (x.y / d + 1)^3 (Bińkowski et al. 2018).

    The unbiased estimates of disjoint blocks are averaged, and are independent, which gives the
    standard error. Both sets are divided into `num_blocks` blocks in the order given, so shuffle
    them first; the rest is dropped. Raises ValueError for blocks of fewer than two.
    """
    size, other_size = len(one) // num_blocks, len(other) // num_blocks
    estimates = [
        unbiased_mmd(one[i * size : (i + 1) * size], other[i * other_size : (i + 1) * other_size])
        for i in range(num_blocks)
    ]
    error = np.std(estimates, ddof=1) / np.sqrt(num_blocks) if num_blocks > 1 else np.nan
    return KernelDistance(float(np.mean(estimates)), float(error))


def unbiased_mmd(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> float:
    """Estimate the squared MMD under the cubic kernel without bias (Gretton et al. 2012, eq. 3)."""
    n, m = len(one), len(other)
    if min(n, m) < 2:
        raise ValueError("An unbiased estimate needs two examples of each set.")
    one, other = one.astype(np.float64), other.astype(np.float64)
    within, within_other = (
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
        for kernel in (cubic_kernel(one, one), cubic_kernel(other, other))
    )
    return float(within + within_other - 2 * cubic_kernel(one, other).mean())


def cubic_kernel(
    one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """Compute (x.y / d + 1)^3 for all pairs."""
    return (one @ other.T / one.shape[1] + 1) ** 3


def _moments(features: Features) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "d d"]]:
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))
