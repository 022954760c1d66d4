"""The losses of a GAN's two networks, and penalties on the discriminator's gradient.

Losses take logits, are per example and unreduced, and have finite values and gradients at every
finite logit. In `minimax` and `non_saturating`, D(x) is a probability, the sigmoid of the logit; in
the other objectives it is the logit itself.
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
"""A function of a critic, real images, as many fakes and a key, such as `r1`."""


class Objective(NamedTuple):
    """The losses of both networks, and D(x), as functions of logits."""

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
        """Average the losses on real images and fakes, as in the course; the papers use the sum.

        One-sided label smoothing (Salimans et al. 2016, sec. 3.4) is the expected loss if that
        share of the real images were labeled as fake. For least squares and cross-entropy this
        equals the loss for the target 1 - label_smoothing, up to a constant.
        """
        real = (1 - label_smoothing) * self.real(real_logits)
        return (real + label_smoothing * self.fake(real_logits) + self.fake(fake_logits)) / 2


def least_squares() -> Objective:
    """Least squares, (D - 1)^2 and D^2; the generator minimizes (D - 1)^2.

    Mao et al. 2017, eq. 9 without the 1/2; `MSELoss` in PyTorch-GAN. At equilibrium D = 1/2, and
    all losses are 1/4.
    """
    return Objective(
        generator=lambda logits: jnp.square(logits - 1),
        real=lambda logits: jnp.square(logits - 1),
        fake=jnp.square,
        score=lambda logits: logits,
    )


def minimax() -> Objective:
    """Cross-entropy, -log D and -log(1 - D); the generator minimizes log(1 - D).

    The minimax game of Goodfellow et al. 2014 (course, eq. 2), of value V = -2 * average. At
    equilibrium D = 1/2, V = -2 log 2 nats, and the generator's loss is -log 2 nats. The gradient of
    the latter vanishes where the discriminator is certain that an image is fake.
    """
    return Objective(
        generator=lambda logits: log_sigmoid(-logits),
        real=lambda logits: -log_sigmoid(logits),
        fake=lambda logits: -log_sigmoid(-logits),
        score=sigmoid,
    )


def non_saturating() -> Objective:
    """Cross-entropy, -log D and -log(1 - D); the generator minimizes -log D.

    Goodfellow et al. 2014, sec. 3. At equilibrium D = 1/2, and all losses are log 2 nats.
    """
    return minimax()._replace(generator=lambda logits: -log_sigmoid(logits))


def hinge() -> Objective:
    """Hinge losses, max(0, 1 - D) and max(0, 1 + D); the generator minimizes -D.

    Lim & Ye 2017, eq. 3 and 4. At equilibrium any D in [-1, 1] is optimal, and the average of the
    two losses is 1.
    """
    return Objective(
        generator=jnp.negative,
        real=lambda logits: relu(1 - logits),
        fake=lambda logits: relu(1 + logits),
        score=lambda logits: logits,
    )


def wasserstein() -> Objective:
    """Wasserstein losses, -D and D; the generator minimizes -D.

    Arjovsky et al. 2017, eq. 2. Use it with a gradient penalty: if D is 1-Lipschitz, minus twice
    the average estimates the Wasserstein distance.
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
    """Compute (|grad D(x)| - 1)^2 at random points x between real images and fakes.

    x = eps * real + (1 - eps) * fake with eps ~ U(0, 1) for each pair (Gulrajani et al. 2017,
    eq. 3, without the weight lambda, which is 10 in the paper).
    """
    eps = jax.random.uniform(key, (real.shape[0], 1, 1, 1))
    gradient = _input_gradient(critic, eps * real + (1 - eps) * fake)
    # The gradient of a plain norm is NaN at zero.
    norm = jax.vmap(lambda g: optax.safe_norm(g.ravel(), 0.0))(gradient)
    return jnp.square(norm - 1)


def r1(
    critic: Critic, real: SymmetricImages, fake: SymmetricImages, key: Key[Array, ""]
) -> PerExample:
    """Compute |grad D(x)|^2 / 2 at real images (Mescheder et al. 2018, eq. 9, without gamma)."""
    del fake, key
    return jnp.sum(jnp.square(_input_gradient(critic, real)), axis=(1, 2, 3)) / 2


def _input_gradient(critic: Critic, images: SymmetricImages) -> SymmetricImages:
    """Compute the gradient of each logit in its own image, given that examples are independent."""
    return jax.grad(lambda images: critic(images).sum())(images)
