"""Detect the collapse of a GAN in training."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

MIN_SPREAD = 0.01  # of pixels in [0, 1]; digits drawn from different noise differ by at least 0.1
MIN_LOSS = 1e-3


def describe_collapse(
    samples: Float[np.ndarray, "classes n h w c"],
    discriminator_loss: float,
    class_names: Sequence[str],
) -> str:
    """Describe how the training has collapsed; an empty string if it has not.

    `samples` are n images in [0, 1] of each class. The discriminator's loss is bounded below by 0,
    except for the Wasserstein loss, which is negative if the discriminator wins.
    """
    spread = samples.std(axis=1).mean(axis=(1, 2, 3))  # of each class, over the noise
    if (constant := np.flatnonzero(spread < MIN_SPREAD)).size:
        classes = ", ".join(class_names[number] for number in constant.tolist())
        return f"the generator draws the same image whatever the noise (class {classes})"
    if 0 <= discriminator_loss < MIN_LOSS:
        return (
            "the discriminator separates all fakes from real images: its loss is stuck at its "
            "bound, and the generator no longer learns"
        )
    return ""
