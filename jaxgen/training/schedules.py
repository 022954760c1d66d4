"""Learning-rate schedules for an initial rate that may be traced."""

import optax
from jaxtyping import Array

from jaxgen.types import Optimizer


def cosine_decay(optimizer: Optimizer, num_steps: int, final_share: float) -> Optimizer:
    """Scale the updates by a cosine from 1 to `final_share` at `num_steps`, then constant."""
    decay = optax.cosine_decay_schedule(1.0, num_steps, alpha=final_share)

    def decayed(learning_rate: Array) -> optax.GradientTransformation:
        return optax.chain(optimizer(learning_rate), optax.scale_by_schedule(decay))

    return decayed
