"""The VAE's losses against float64 SciPy, finite differences and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from jaxgen.vae import likelihoods, objectives


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_gaussian_kl_equals_the_closed_form_of_scipy_entropies(rng):
    mean, logvar = rng.normal(size=(5, 7)), rng.uniform(-8, 4, (5, 7))
    # KL = cross entropy - entropy, the first being E[-log N(z; 0, 1)] = (log 2pi + E z^2) / 2
    cross_entropy = 0.5 * (np.log(2 * np.pi) + mean**2 + np.exp(logvar))
    entropy = scipy.stats.norm.entropy(scale=np.exp(logvar / 2))
    expected = (cross_entropy - entropy).sum(-1)
    actual = likelihoods.gaussian_kl(jnp.float32(mean), jnp.float32(logvar))
    assert_allclose(actual, expected, rtol=2e-6)


def test_gaussian_kl_equals_monte_carlo(rng):
    mean, logvar = jnp.float32(rng.normal(size=(3, 4))), jnp.float32(rng.normal(size=(3, 4)))
    eps = jax.random.normal(jax.random.key(0), (200_000, 3, 4))
    z = mean[None] + jnp.exp(0.5 * logvar)[None] * eps
    estimate = -likelihoods.log_density_ratio(z, mean, logvar).mean(0)
    assert_allclose(likelihoods.gaussian_kl(mean, logvar), estimate, rtol=2e-2)


def test_gaussian_kl_is_accurate_and_never_negative_near_zero():
    logvar = jnp.full((1, 1), 1e-3)
    expected = 0.5 * (np.expm1(1e-3) - 1e-3)  # about 2.5e-7
    assert_allclose(likelihoods.gaussian_kl(jnp.zeros((1, 1)), logvar), [expected], rtol=1e-3)
    assert likelihoods.gaussian_kl(jnp.zeros((1, 9)), jnp.zeros((1, 9))) == 0


@pytest.mark.parametrize("scale", [1, 10, 100])
def test_bernoulli_nll_equals_scipy_up_to_extreme_logits(rng, scale):
    logits = scale * rng.uniform(-1, 1, (4, 3, 3, 1))
    x = rng.integers(0, 2, logits.shape).astype(float)
    log_p, log_not_p = scipy.special.log_expit(logits), scipy.special.log_expit(-logits)
    expected = -(x * log_p + (1 - x) * log_not_p).sum((1, 2, 3))
    assert_allclose(
        likelihoods.bernoulli_nll(jnp.float32(logits), jnp.float32(x)), expected, rtol=3e-6
    )


@pytest.mark.parametrize("logit", [-100.0, 100.0])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_bernoulli_nll_and_its_gradient_are_exact_at_logit_100(logit, x):
    def nll(logit):
        return likelihoods.bernoulli_nll(jnp.full((1, 1), logit), jnp.full((1, 1), x))[0]

    value, gradient = jax.value_and_grad(nll)(logit)
    assert value == (0 if (logit > 0) == (x == 1) else 100)
    assert gradient == (logit > 0) - x


def test_gaussian_nll_equals_scipy(rng):
    mean, x = rng.normal(size=(2, 6, 5))
    logvar = rng.uniform(-6, 3, (6, 5))
    expected = -scipy.stats.norm.logpdf(x, mean, np.exp(logvar / 2)).sum(-1)
    actual = likelihoods.gaussian_nll(*map(jnp.float32, (mean, logvar, x)))
    assert_allclose(actual, expected, rtol=1e-5)


def test_a_scalar_logvar_counts_once_for_every_value(rng):
    mean, x = jnp.float32(rng.normal(size=(2, 6, 5)))
    full = likelihoods.gaussian_nll(mean, jnp.full((6, 5), -1.0), x)
    assert_allclose(likelihoods.gaussian_nll(mean, jnp.float32(-1.0), x), full, rtol=1e-6)


def test_losses_have_the_gradients_of_finite_differences(rng):
    mean, logvar, x = rng.normal(size=(3, 2, 3))
    functions = {
        "kl": lambda m: likelihoods.gaussian_kl(m, jnp.asarray(logvar)),
        "kl in logvar": lambda lv: likelihoods.gaussian_kl(jnp.asarray(mean), lv),
        "gaussian": lambda m: likelihoods.gaussian_nll(m, jnp.asarray(logvar), jnp.asarray(x)),
        "gaussian in logvar": lambda lv: likelihoods.gaussian_nll(
            jnp.asarray(mean), lv, jnp.asarray(x)
        ),
        "bernoulli": lambda logits: likelihoods.bernoulli_nll(logits, jnp.asarray(x > 0, float)),
        "mse": lambda m: likelihoods.pixel_mse(m, jnp.asarray(x)),
    }
    with jax.enable_x64(True):
        point = jnp.asarray(rng.normal(size=(2, 3)))
        for function in functions.values():
            check_grads(lambda p, f=function: f(jnp.asarray(p)), (point,), 1, ["rev"], rtol=1e-6)


def test_importance_weighted_bound_is_log_mean_exp_far_from_zero():
    log_weights = np.array([[-1000.0, 1e-3], [-1001.0, -2.0], [-1002.0, 5.0]])
    expected = scipy.special.logsumexp(log_weights, axis=0) - np.log(3)
    actual = likelihoods.importance_weighted_bound(jnp.float32(log_weights))
    assert_allclose(actual, expected, rtol=1e-6)


def test_importance_weighted_bound_of_one_sample_is_its_log_weight():
    log_weights = jnp.float32([[-90.0, -100.0]])
    assert_allclose(likelihoods.importance_weighted_bound(log_weights), log_weights[0])


def test_importance_weighted_bound_weighs_gradients_by_normalized_weights(rng):
    """The gradient that Burda et al. (2016, eq. 14) derive: sum_i w_i / sum_j w_j grad log w_i."""
    log_weights = rng.normal(scale=3, size=(5, 4))
    gradient = jax.grad(lambda w: likelihoods.importance_weighted_bound(w).sum())(
        jnp.float32(log_weights)
    )
    assert_allclose(gradient, scipy.special.softmax(log_weights, axis=0), rtol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_course_loss_is_a_scaled_gaussian_elbo(rng, activation):
    """The claim of its docstring: loss = weight * (nll - log-normalizer + KL)."""
    weight = 0.00025
    objective = objectives.course(activation, weight)
    output = jnp.float32(rng.normal(size=(3, 8, 8, 1)))
    x = objective.observe(
        jnp.asarray(rng.integers(0, 256, (3, 8, 8, 1)), jnp.uint8), jax.random.key(0)
    )
    kl = jnp.float32(rng.uniform(0, 30, 3))
    log_normalizer = 0.5 * 64 * np.log(2 * np.pi * 64 * weight / 2)
    elbo = objective.reconstruction(output, x) - log_normalizer + kl
    assert_allclose(objective.loss(output, x, kl), weight * elbo, rtol=1e-4)


def test_course_loss_is_that_of_the_specification(rng):
    output, image = rng.normal(size=(2, 4, 4, 3)), rng.integers(0, 256, (2, 4, 4, 3))
    kl = rng.uniform(0, 30, 2)
    expected = np.mean((np.tanh(output) - (image / 127.5 - 1)) ** 2) + 0.01 * kl.mean()
    objective = objectives.course("tanh", 0.01)
    x = objective.observe(jnp.asarray(image, jnp.uint8), jax.random.key(0))
    loss = objective.loss(jnp.float32(output), x, jnp.float32(kl)).mean()
    assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "low"),
    [
        (objectives.gaussian("tanh", 0.1), -1),
        (objectives.gaussian("sigmoid", 0.1), 0),
        (objectives.course("tanh", 0.1), -1),
    ],
)
def test_pixels_fill_the_range_of_the_activation(objective, low):
    image = jnp.asarray([0, 255], jnp.uint8).reshape(1, 1, 2, 1)
    assert_allclose(objective.observe(image, None).ravel(), [low, 1], atol=1e-6)
    output = jnp.asarray([-50.0, 50.0]).reshape(1, 1, 2, 1)
    assert_allclose(objective.mean(output).ravel(), [0, 1], atol=1e-6)


def test_learned_variance_is_the_decoders_and_has_a_floor(rng):
    objective = objectives.gaussian_learned("sigmoid")
    x, mean = rng.uniform(size=(2, 1, 2, 2, 1))
    raw = rng.normal(size=(1, 2, 2, 1))
    raw[0, 0, 0] = -1e4
    logvar = objectives.MIN_LOGVAR + np.logaddexp(0, raw - objectives.MIN_LOGVAR)
    assert logvar.min() == -6
    expected = -scipy.stats.norm.logpdf(x, mean, np.exp(logvar / 2)).sum()
    output = jnp.float32(np.concatenate([scipy.special.logit(mean), raw], -1))
    assert_allclose(objective.reconstruction(output, jnp.float32(x)), [expected], rtol=1e-4)
    assert_allclose(objective.mean(output), mean, rtol=1e-5)


def test_binarisation_is_dynamic_and_has_the_grey_value_as_its_mean():
    observe = objectives.bernoulli().observe
    image = jnp.asarray([0, 64, 255], jnp.uint8).reshape(1, 1, 3, 1)
    draws = jax.vmap(observe, (None, 0))(image, jax.random.split(jax.random.key(0), 20_000))
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert_allclose(draws.mean(0).ravel(), [0, 64 / 255, 1], atol=0.01)


def entropy_nats(name, output):
    """The entropy of p(x | z), summed over the pixels of each image, by SciPy."""
    if name == "bernoulli":
        return scipy.stats.bernoulli(scipy.special.expit(output)).entropy().sum((1, 2, 3))
    num_pixels = output[0].size
    if name == "logistic":
        mean, raw = np.split(output, 2, axis=-1)
        scale = np.exp(np.logaddexp(raw + 7, 0) - 7)
        bounds = np.concatenate([[-np.inf], np.arange(255) / 127.5 - 1 + 1 / 255, [np.inf]])
        p = np.diff(scipy.special.expit((bounds - mean[..., None]) / scale[..., None]))
        return scipy.special.entr(p).sum((1, 2, 3, 4))
    if name == "learned":
        raw = np.split(output, 2, axis=-1)[1]
        floor = objectives.MIN_LOGVAR
        logvar = floor + np.logaddexp(raw - floor, 0)
        return scipy.stats.norm(scale=np.exp(logvar / 2)).entropy().sum((1, 2, 3))
    variance = {"gaussian": 0.3, "course": num_pixels * 0.01 / 2}[name]
    return np.full(len(output), num_pixels * scipy.stats.norm(scale=variance**0.5).entropy())


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("bernoulli", objectives.bernoulli()),
        ("gaussian", objectives.gaussian("tanh", 0.3)),
        ("logistic", objectives.logistic()),
        ("learned", objectives.gaussian_learned("sigmoid")),
        ("course", objectives.course("tanh", 0.01)),
    ],
)
def test_simulated_images_follow_the_likelihood(rng, name, objective):
    """The mean of -log p(x | z) over x ~ p(x | z) is the entropy."""
    output = rng.normal(size=(2, 3, 3, objective.num_outputs))
    repeated = jnp.repeat(jnp.float32(output), 4000, axis=0)
    x = objective.simulate(repeated, jax.random.key(0))
    nll = np.asarray(objective.reconstruction(repeated, x)).reshape(2, 4000)
    error = 4 * nll.std(axis=1) / np.sqrt(4000)
    assert (np.abs(nll.mean(axis=1) - entropy_nats(name, output)) < error).all()
    assert (x[0] != x[1]).any()


def test_logistic_pixels_have_a_mean_and_a_bounded_scale_of_their_own(rng):
    objective = objectives.logistic()
    mean, raw = rng.uniform(-1, 1, (2, 2, 3, 3, 3))
    raw[0, 0, 0] = -1e4, 0, 1e4
    image = jnp.asarray(rng.integers(0, 256, (2, 3, 3, 3)), jnp.uint8)
    x = objective.observe(image, jax.random.key(0))
    assert_allclose(x, np.float64(image) / 127.5 - 1, atol=1e-6)
    log_scale = -7 + np.logaddexp(0, np.minimum(raw, 7) + 7)
    output = jnp.float32(np.concatenate([mean, raw], -1))
    expected = likelihoods.discretized_logistic_nll(jnp.float32(mean), jnp.float32(log_scale), x)
    assert_allclose(objective.reconstruction(output, x), expected, rtol=1e-4)
    assert_allclose(objective.loss(output, x, jnp.ones(2)), expected + 1, rtol=1e-4)
    assert objective.num_outputs == 2


def test_the_expected_image_of_confident_logistic_pixels_is_their_mean():
    mean = np.array([-3.0, -1.0, -0.5, 0.0, 0.7, 1.0, 3.0])
    output = jnp.float32(np.stack([mean, np.full(7, -1e4)], -1)).reshape(1, 1, 7, 2)
    expected = (np.clip(mean, -1, 1) + 1) / 2
    assert_allclose(objectives.logistic().mean(output).ravel(), expected, atol=1e-3)
