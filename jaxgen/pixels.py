"""Conversions between 8-bit pixels and the ranges that networks use."""

import numpy as np
from jaxtyping import Array, Shaped, UInt8

from jaxgen.errors import InputError
from jaxgen.types import SymmetricImages, UnitImages


def to_unit(image: Shaped[Array, "n h w c"]) -> UnitImages:
    """Scale [0, 255] to [0, 1], the range of a sigmoid."""
    return image / 255


def to_symmetric(image: Shaped[Array, "n h w c"]) -> SymmetricImages:
    """Scale [0, 255] to [-1, 1], the range of a tanh."""
    return image / 127.5 - 1


def symmetric_to_unit(x: SymmetricImages) -> UnitImages:
    """Scale [-1, 1] to [0, 1]."""
    return (x + 1) / 2


def to_uint8(x: Shaped[np.ndarray, "*n h w c"]) -> UInt8[np.ndarray, "*n h w c"]:
    """Convert [0, 1] to 8-bit pixels by rounding; values outside of that range are clipped."""
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)


def binarization_noise(image: UInt8[np.ndarray, "n h w c"]) -> float:
    """Compute the share of the variance of randomly binarized pixels that binarization adds.

    Pixels are sampled as 1 with their gray values p as probabilities, and the share is
    E[p (1 - p)] / (E[p] (1 - E[p])): 0 for black-and-white images, 1 for uniform gray.
    """
    p = image / np.float32(255)
    mean = float(p.mean(dtype=float))
    if not 0 < mean < 1:
        return 0.0
    return (mean - float(np.square(p).mean(dtype=float))) / (mean * (1 - mean))


def pad_to(image: UInt8[np.ndarray, "n h w c"], size: int) -> UInt8[np.ndarray, "n s s c"]:
    """Center images in black squares of side `size`. Raises InputError if they are larger."""
    height, width = image.shape[1:3]
    if height > size or width > size:
        raise InputError(
            f"Images of {height}x{width} pixels do not fit --image-size {size}: choose a size of "
            f"at least {max(height, width)}, or shrink them with --resize crop, pad or stretch."
        )
    margins = [((size - n) // 2, (size - n + 1) // 2) for n in (height, width)]
    return np.pad(image, [(0, 0), *margins, (0, 0)])
