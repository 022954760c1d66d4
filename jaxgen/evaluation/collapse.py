"""Detect the collapse of a GAN in training."""

import numpy as np
from jaxtyping import Float

MIN_SPREAD = 0.01  # of pixels in [0, 1]; digits drawn from different noise differ by 0.1 and more
MIN_LOSS = 1e-3


def collapse(samples: Float[np.ndarray, "classes n h w c"], discriminator_loss: float) -> str:
    """Describe what has collapsed; an empty string if nothing has.

    `samples` are `n` images in [0, 1] of each class. The loss is bounded by 0 for every objective
    but Wasserstein's, which is negative where the discriminator wins.
    """
    spread = samples.std(axis=1).mean(axis=(1, 2, 3))  # of each class, over the noise
    if (constant := np.flatnonzero(spread < MIN_SPREAD)).size:
        classes = ", ".join(map(str, constant))
        return f"the generator draws the same image whatever the noise (class {classes})"
    if 0 <= discriminator_loss < MIN_LOSS:
        return (
            "the discriminator tells every fake from a real image: its loss is stuck at its bound, "
            "and the generator learns nothing any more"
        )
    return ""
