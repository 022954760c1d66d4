"""The losses of a GAN's two networks, and penalties on the discriminator's gradient.

Every loss takes logits, is per example and unreduced, and has finite values and gradients at every
finite logit. D(x) is the sigmoid of a logit in `minimax` and `non_saturating`, which read it as a
probability, and the logit itself in the others.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.nn import log_sigmoid, relu, sigmoid
from jaxtyping import Array, Float, Key

from jaxgen.types import SymmetricImages

Logits = Float[Array, "n"]
PerExample = Float[Array, "n"]
Critic = Callable[[SymmetricImages], Logits]
Penalty = Callable[[Critic, SymmetricImages, SymmetricImages, Key[Array, ""]], PerExample]
"""Of the critic, real images, as many fakes and a key: `gradient_penalty` or `r1`."""


class Objective(NamedTuple):
    """Losses on logits, and D(x) of a logit."""

    generator: Callable[[Logits], PerExample]
    """The generator's loss on fakes."""
    real: Callable[[Logits], PerExample]
    """The discriminator's loss on real images."""
    fake: Callable[[Logits], PerExample]
    """The discriminator's loss on fakes."""
    score: Callable[[Logits], PerExample]
    """D(x): a probability, or the logit itself."""

    def discriminator(
        self, real_logits: Logits, fake_logits: Logits, label_smoothing: float = 0.0
    ) -> PerExample:
        """The AVERAGE of the real and the fake half, as in the course; the papers' sum is twice it.

        One-sided label smoothing (Salimans et al. 2016, sec. 3.4) is the expected loss if that
        share of the real images were labelled fake. For least squares and cross-entropy this is
        the target 1 - label_smoothing, up to a constant.
        """
        real = (1 - label_smoothing) * self.real(real_logits)
        return (real + label_smoothing * self.fake(real_logits) + self.fake(fake_logits)) / 2


def least_squares() -> Objective:
    """(D - 1)^2 and D^2 (Mao et al. 2017, eq. 9 without the 1/2): the original code's MSELoss.

    At equilibrium D = 1/2: the halves are 1/4 and 1/4, their average 1/4, the generator's 1/4.
    """
    return Objective(
        generator=lambda logits: jnp.square(logits - 1),
        real=lambda logits: jnp.square(logits - 1),
        fake=jnp.square,
        score=lambda logits: logits,
    )


def minimax() -> Objective:
    """-log D and -log(1 - D); the generator's is log(1 - D) (Goodfellow et al. 2014; spec eq. 2).

    At equilibrium D = 1/2: V = -2 * average = -2 log 2 nats, the generator's -log 2. Its gradient
    vanishes where the discriminator is sure of the fakes.
    """
    return Objective(
        generator=lambda logits: log_sigmoid(-logits),
        real=lambda logits: -log_sigmoid(logits),
        fake=lambda logits: -log_sigmoid(-logits),
        score=sigmoid,
    )


def non_saturating() -> Objective:
    """`minimax`, but the generator's loss is -log D (Goodfellow et al. 2014, sec. 3).

    At equilibrium D = 1/2 both losses are log 2 nats.
    """
    return minimax()._replace(generator=lambda logits: -log_sigmoid(logits))


def hinge() -> Objective:
    """max(0, 1 - D) and max(0, 1 + D); the generator's is -D (Lim & Ye 2017, eq. 3 and 4).

    If real and fake are the same, D in [-1, 1] is best: the halves sum to 2, their average is 1.
    """
    return Objective(
        generator=jnp.negative,
        real=lambda logits: relu(1 - logits),
        fake=lambda logits: relu(1 + logits),
        score=lambda logits: logits,
    )


def wasserstein() -> Objective:
    """-D and D; the generator's is -D (Arjovsky et al. 2017, eq. 2). Wants a gradient penalty.

    Minus twice the average is an estimate of the Wasserstein distance if D is 1-Lipschitz.
    """
    return Objective(
        generator=jnp.negative,
        real=jnp.negative,
        fake=lambda logits: logits,
        score=lambda logits: logits,
    )


def gradient_penalty(
    critic: Critic, real: SymmetricImages, fake: SymmetricImages, key: Key[Array, ""]
) -> PerExample:
    """(|grad D(x)| - 1)^2 at x = eps * real + (1 - eps) * fake, eps ~ U(0, 1) for each pair.

    Gulrajani et al. 2017, eq. 3, without its weight lambda (10 in the paper).
    """
    eps = jax.random.uniform(key, (real.shape[0], 1, 1, 1))
    gradient = _input_gradient(critic, eps * real + (1 - eps) * fake)
    # a plain norm has a NaN gradient at zero
    norm = jax.vmap(lambda g: optax.safe_norm(g.ravel(), 0.0))(gradient)
    return jnp.square(norm - 1)


def r1(
    critic: Critic, real: SymmetricImages, fake: SymmetricImages, key: Key[Array, ""]
) -> PerExample:
    """|grad D(x)|^2 / 2 at the real images (Mescheder et al. 2018, eq. 9, without its gamma)."""
    del fake, key
    return jnp.sum(jnp.square(_input_gradient(critic, real)), axis=(1, 2, 3)) / 2


def _input_gradient(critic: Critic, images: SymmetricImages) -> SymmetricImages:
    """Each logit's gradient by its own image: that of the sum, as no example sees another."""
    return jax.grad(lambda images: critic(images).sum())(images)
