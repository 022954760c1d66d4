"""The convolutional networks, against the same formulas in Flax's own layers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from numpy.testing import assert_allclose
from tiny_gan import KEY

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.convolutional import ConvDiscriminator, ConvGenerator
from jaxgen.gan.learner import Hypers, cgan
from jaxgen.types import Batch

GENERATOR = ConvGenerator((7, 11, 3), latent_dim=5, num_classes=3, hidden_dims=(6, 4))
DISCRIMINATOR = ConvDiscriminator((7, 11, 3), num_classes=3, hidden_dims=(4, 6, 5))
LABELS = jnp.array([0, 2, 1, 1])
NOISE = jnp.float32(np.random.default_rng(1).normal(size=(4, 5)))
IMAGES = jnp.float32(np.random.default_rng(2).uniform(-1, 1, (4, 7, 11, 3)))


def init(model, *inputs):
    """Variables with biases, scales and running averages away from zeros and ones."""
    variables = jax.jit(partial(model.init, train=False))(KEY, *inputs)
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda x: x + jnp.float32(rng.uniform(0, 0.2, x.shape)), variables)


class PlainGenerator(nn.Module):
    @nn.compact
    def __call__(self, noise, labels, *, train):
        inputs = jnp.concatenate([nn.Embed(3, 3)(labels), noise], -1)
        x = nn.Dense(2 * 3 * 6)(inputs).reshape(-1, 2, 3, 6)
        for i, features in enumerate((4, 3)):
            x = Modulated(name=f"ModulatedBatchNorm_{i}")(x, inputs, train)
            layer = nn.ConvTranspose(
                features, (4, 4), (2, 2), "SAME", transpose_kernel=True, name=f"ConvTranspose_{i}"
            )
            x = layer(nn.relu(x))
        return jnp.tanh(x)[:, :7, :11]


class Modulated(nn.Module):
    @nn.compact
    def __call__(self, x, inputs, train):
        x = nn.BatchNorm(not train, momentum=0.9, use_scale=False, use_bias=False)(x)
        both = nn.Dense(2 * x.shape[-1])(inputs)[:, None, None]
        return x * (1 + both[..., : x.shape[-1]]) + both[..., x.shape[-1] :]


@pytest.mark.parametrize("train", [True, False])
def test_the_generator_is_a_dcgan_that_the_noise_modulates(train):
    variables = init(GENERATOR, NOISE, LABELS)

    def run(model):
        return jax.jit(partial(model.apply, train=train, mutable=["batch_stats"]))(
            variables, NOISE, LABELS
        )

    (images, updates), (expected, expected_updates) = run(GENERATOR), run(PlainGenerator())
    assert images.shape == IMAGES.shape
    assert_allclose(images, expected, atol=1e-5)
    jax.tree.map(partial(assert_allclose, atol=1e-5), updates, expected_updates)


def test_weights_of_classes_mix_them():
    variables = init(GENERATOR, NOISE, LABELS)
    draw = jax.jit(partial(GENERATOR.apply, train=False))
    weights = jax.nn.one_hot(LABELS, 3)
    assert_allclose(draw(variables, NOISE, weights), draw(variables, NOISE, LABELS), atol=1e-6)


def test_the_logit_is_linear_in_the_features_and_in_the_label_s_embedding():
    variables = init(DISCRIMINATOR, IMAGES, LABELS)
    logits = jax.jit(partial(DISCRIMINATOR.apply, train=False))(variables, IMAGES, LABELS)
    params, x = variables["params"], IMAGES
    for i in range(3):
        layer = nn.Conv(params[f"Conv_{i}"]["bias"].size, (3, 3), (2, 2), ((1, 1), (1, 1)))
        x = nn.leaky_relu(jnp.asarray(layer.apply({"params": params[f"Conv_{i}"]}, x)), 0.2)
    features = x.reshape(4, 1 * 2 * 5)
    weight = params["Dense_0"]["kernel"].T + params["Embed_0"]["embedding"][LABELS]
    expected = (features * weight).sum(-1) + params["Dense_0"]["bias"]
    assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GENERATOR.clone(hidden_dims=()), "at least one layer: add to --generator-dims"),
        (DISCRIMINATOR.clone(hidden_dims=()), "add to --generator-dims and --discriminator-dims"),
        (DISCRIMINATOR.clone(image_shape=(8, 8, 3)), r"takes images of shape \(8, 8, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(model, message):
    inputs = (NOISE if isinstance(model, ConvGenerator) else IMAGES, LABELS)
    with pytest.raises(InputError, match=message):
        jax.eval_shape(partial(model.init, train=False), KEY, *inputs)


def test_in_bfloat16_parameters_statistics_and_outputs_are_float32():
    for model, inputs in ((GENERATOR, (NOISE, LABELS)), (DISCRIMINATOR, (IMAGES, LABELS))):
        low = model.clone(dtype=jnp.bfloat16)
        shapes = jax.eval_shape(partial(low.init, train=False), KEY, *inputs)
        apply = partial(low.apply, train=False)
        leaves = jax.tree.leaves((shapes, jax.eval_shape(apply, shapes, *inputs)))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}


def test_a_step_changes_all_parameters_of_both():
    learner = cgan(GENERATOR, DISCRIMINATOR, objectives.non_saturating(), ema_decay=0.9)
    image = np.random.default_rng(4).integers(0, 256, IMAGES.shape, dtype=np.uint8)
    before = jax.jit(learner.init)(KEY, Hypers())
    after, metrics = jax.jit(learner.step)(before, Batch(jnp.asarray(image), LABELS), KEY)
    assert all(np.isfinite(x) for x in metrics.values())
    for network in ("generator", "discriminator"):
        old, new = (getattr(state, network).params for state in (before, after))
        for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
            assert (a != b).any()
    assert learner.generate_mixture is not None
