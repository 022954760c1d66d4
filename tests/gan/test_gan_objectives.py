import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import expit, log_expit

from jaxgen.gan import objectives
from jaxgen.gan.objectives import gradient_penalty, r1

EXTREME = np.array([-100.0, -30.0, -1.5, -0.25, 0.0, 0.25, 1.5, 30.0, 100.0])
OBJECTIVES = {
    "least_squares": objectives.least_squares(),
    "minimax": objectives.minimax(),
    "non_saturating": objectives.non_saturating(),
    "hinge": objectives.hinge(),
    "wasserstein": objectives.wasserstein(),
}
# generator, real, fake in float64
TRUTH = {
    "least_squares": (lambda x: (x - 1) ** 2, lambda x: (x - 1) ** 2, lambda x: x**2),
    "minimax": (lambda x: log_expit(-x), lambda x: -log_expit(x), lambda x: -log_expit(-x)),
    "non_saturating": (lambda x: -log_expit(x), lambda x: -log_expit(x), lambda x: -log_expit(-x)),
    "hinge": (lambda x: -x, lambda x: np.maximum(0, 1 - x), lambda x: np.maximum(0, 1 + x)),
    "wasserstein": (lambda x: -x, lambda x: -x, lambda x: x),
}
everyone = pytest.mark.parametrize("name", OBJECTIVES)


def logits(*values):
    return jnp.array(values, jnp.float32)


@everyone
def test_values_and_gradients_against_float64(name):
    x, h = jnp.asarray(EXTREME, jnp.float32), 1e-6
    losses = OBJECTIVES[name].generator, OBJECTIVES[name].real, OBJECTIVES[name].fake
    for loss, truth in zip(losses, TRUTH[name], strict=True):
        np.testing.assert_allclose(loss(x), truth(EXTREME), rtol=1e-5, atol=1e-30)
        gradient = jax.grad(lambda x, loss=loss: loss(x).sum())(x)
        difference = (truth(EXTREME + h) - truth(EXTREME - h)) / (2 * h)
        np.testing.assert_allclose(gradient, difference, rtol=1e-4, atol=1e-6)


@everyone
def test_the_discriminator_s_loss_is_the_average_of_the_halves(name):
    objective = OBJECTIVES[name]
    _, real, fake = TRUTH[name]
    a, b = EXTREME, EXTREME[::-1] / 2
    loss = objective.discriminator(jnp.float32(a), jnp.float32(b))
    np.testing.assert_allclose(loss, (real(a) + fake(b)) / 2, rtol=1e-5, atol=1e-30)
    smooth = objective.discriminator(jnp.float32(a), jnp.float32(b), 0.1)
    expected = (0.9 * real(a) + 0.1 * fake(a) + fake(b)) / 2
    np.testing.assert_allclose(smooth, expected, rtol=1e-5, atol=1e-6)


def test_label_smoothing_is_a_softer_target():
    x, s = EXTREME[1:-1], 0.1
    zeros = jnp.zeros(len(x))
    cross_entropy = -(1 - s) * log_expit(x) - s * log_expit(-x)
    loss = OBJECTIVES["minimax"].discriminator(jnp.float32(x), zeros, s)
    np.testing.assert_allclose(loss, (cross_entropy + np.log(2)) / 2, rtol=1e-5)
    loss = OBJECTIVES["least_squares"].discriminator(jnp.float32(x), zeros, s)
    np.testing.assert_allclose(loss, ((x - (1 - s)) ** 2 + s * (1 - s)) / 2, rtol=1e-5)


def test_equilibria_on_paper():
    half, zero = logits(0.5, 0.5), logits(0.0, 0.0)
    least_squares = OBJECTIVES["least_squares"]
    np.testing.assert_array_equal(least_squares.real(half), 1 / 4)
    np.testing.assert_array_equal(least_squares.fake(half), 1 / 4)
    np.testing.assert_array_equal(least_squares.discriminator(half, half), 1 / 4)
    np.testing.assert_array_equal(least_squares.generator(half), 1 / 4)

    minimax, non_saturating = OBJECTIVES["minimax"], OBJECTIVES["non_saturating"]
    np.testing.assert_allclose(minimax.score(zero), 1 / 2)
    value = -2 * minimax.discriminator(zero, zero)
    np.testing.assert_allclose(value, -2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(minimax.generator(zero), -np.log(2), rtol=1e-6)
    np.testing.assert_allclose(non_saturating.generator(zero), np.log(2), rtol=1e-6)

    hinge = OBJECTIVES["hinge"]
    for logit in (-1.0, 0.0, 0.3, 1.0):
        np.testing.assert_allclose(hinge.discriminator(logits(logit), logits(logit)), 1)
    # a Dirac at 3 and one at 0, by the 1-Lipschitz critic D(x) = x
    wasserstein = OBJECTIVES["wasserstein"]
    np.testing.assert_array_equal(-2 * wasserstein.discriminator(logits(3.0), logits(0.0)), 3)


@everyone
def test_equilibrium_is_the_discriminator_s_best(name):
    """Where real and fake coincide, no common logit beats the one on paper."""
    objective = OBJECTIVES[name]
    best = 0.5 if name == "least_squares" else 0.0
    x = jnp.linspace(-3, 3, 61)
    loss = objective.discriminator(x, x)
    assert (loss >= objective.discriminator(logits(best), logits(best)) - 1e-6).all()


@everyone
def test_scores(name):
    probability = name in ("minimax", "non_saturating")
    expected = expit(EXTREME) if probability else EXTREME
    score = OBJECTIVES[name].score
    np.testing.assert_allclose(score(jnp.float32(EXTREME)), expected, rtol=1e-5, atol=1e-30)


def images(seed):
    return jnp.float32(np.random.default_rng(seed).uniform(-1, 1, size=(5, 4, 3, 2)))


def test_penalties_of_a_linear_critic():
    """D(x) = w.x has the gradient w everywhere: (|w| - 1)^2 and |w|^2 / 2, whatever the images."""
    w = np.float32(np.random.default_rng(9).normal(size=(4, 3, 2)))
    norm = np.linalg.norm(np.float64(w))
    args = (lambda x: jnp.einsum("bhwc,hwc->b", x, w), images(0), images(1), jax.random.key(2))
    np.testing.assert_allclose(gradient_penalty(*args), np.full(5, (norm - 1) ** 2), rtol=1e-5)
    np.testing.assert_allclose(r1(*args), np.full(5, norm**2 / 2), rtol=1e-5)


def test_where_the_penalties_look():
    """D(x) = |x|^2 / 2 has the gradient x: it tells which images were used."""
    real, fake, key = images(0), images(1), jax.random.key(2)

    def critic(x):
        return jnp.square(x).sum((1, 2, 3)) / 2

    np.testing.assert_allclose(
        r1(critic, real, fake, key), np.square(real).sum((1, 2, 3)) / 2, rtol=1e-5
    )
    eps = np.float64(jax.random.uniform(key, (5, 1, 1, 1)))
    between = eps * np.float64(real) + (1 - eps) * np.float64(fake)
    norm = np.sqrt(np.square(between).sum((1, 2, 3)))
    penalty = gradient_penalty(critic, real, fake, key)
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, rtol=1e-4)
    assert len(set(eps.ravel())) == 5
    other = gradient_penalty(critic, real, fake, jax.random.key(3))
    assert (penalty != other).all()


@pytest.mark.parametrize("penalty", [gradient_penalty, r1])
def test_a_flat_critic_has_a_finite_gradient(penalty):
    def loss(w):
        return penalty(
            lambda x: w * x.sum((1, 2, 3)), images(0), images(1), jax.random.key(2)
        ).sum()

    value, gradient = jax.value_and_grad(loss)(0.0)
    assert np.isfinite(value)
    assert np.isfinite(gradient)


@pytest.mark.parametrize("penalty", [gradient_penalty, r1])
def test_gradients_of_the_penalties_by_finite_differences(penalty):
    real, fake, key = images(0), images(1), jax.random.key(2)
    with jax.enable_x64(True):
        w = jnp.asarray(0.3 * np.random.default_rng(0).normal(size=(24, 6)))
        real, fake = jnp.float64(real), jnp.float64(fake)

        def loss(w):
            def critic(x):
                return jnp.tanh(x.reshape(x.shape[0], -1) @ w).sum(-1)

            return penalty(critic, real, fake, key).sum()

        check_grads(loss, (w,), order=1, modes=["rev"], rtol=1e-5)
