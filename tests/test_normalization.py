"""Batch normalization, against Flax's in float64 and the formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.normalization import BatchNorm

KEY = jax.random.key(0)
SHAPES = [(6, 3), (1, 4), (2, 3, 5, 4)]


def example(shape):
    """Images far from zero, and variables of a layer that has trained."""
    keys = jax.random.split(KEY, 5)
    draws = [jax.random.normal(key, shape[-1:]) for key in keys[:4]]
    params = {"scale": draws[0], "bias": draws[1]}
    averages = {"mean": draws[2], "var": jnp.exp(draws[3])}
    x = 2 + 3 * jax.random.normal(keys[4], shape)
    return {"params": params, "batch_stats": averages}, x


def flax_norm(variables, x, train):
    return nn.BatchNorm(not train, momentum=0.9).apply(variables, x, mutable=["batch_stats"])


def norm(variables, x, train):
    return BatchNorm().apply(variables, x, train=train, mutable=["batch_stats"])


def derivatives(f, variables, x, train):
    """Output and averages, gradients, and second derivatives in a direction."""

    def loss(variables, x):
        y, _ = f(variables, x, train)
        return jnp.sum(jnp.sin(y) + y**3)

    gradients = jax.grad(loss, (0, 1))
    direction = jax.tree.map(jnp.cos, (variables, x))
    return f(variables, x, train), *jax.jvp(gradients, (variables, x), direction)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_derivatives_are_those_of_flax(shape, train):
    variables, x = example(shape)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (variables, x))
        actual, expected = (
            jax.jit(derivatives, static_argnums=(0, 3))(f, *exact, train) for f in (norm, flax_norm)
        )
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(actual))
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-9, 1e-9), actual, expected)
    single = jax.jit(norm, static_argnums=2)(variables, x, train)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-4, 1e-5), single, expected[0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_output_and_average_follow_the_formula_and_are_float32(dtype):
    x = example((8, 3))[1].astype(dtype)
    variables = BatchNorm().init(KEY, x, train=True)
    y, updates = BatchNorm().apply(variables, x, train=True, mutable=["batch_stats"])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((variables, y, updates)))
    exact = np.float64(x)
    mean = np.asarray(updates["batch_stats"]["mean"])
    np.testing.assert_allclose(mean, 0.1 * exact.mean(0), rtol=1e-5)
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_without_scale_and_bias_the_output_is_standardized():
    x = example((50, 3))[1]
    layer = BatchNorm(affine=False)
    y, variables = layer.init_with_output(KEY, x, train=True)
    assert list(variables) == ["batch_stats"]
    y = np.asarray(y, np.float64)
    np.testing.assert_allclose(y.mean(0), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(y.std(0), np.ones(3), rtol=1e-4)


def test_averages_do_not_change_while_parameters_are_initialized_or_in_evaluation():
    variables, x = example((6, 3))
    fresh = BatchNorm().init(KEY, x, train=True)["batch_stats"]
    np.testing.assert_array_equal(fresh["mean"], np.zeros(3))
    np.testing.assert_array_equal(fresh["var"], np.ones(3))
    _, updates = norm(variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, updates["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
def test_the_gradient_of_a_bias_before_the_normalization_is_zero(layer):
    class Block(nn.Module):
        frozen: bool

        @nn.compact
        def __call__(self, x):
            return BatchNorm()(layer(4, freeze_bias=self.frozen)(x), train=True)

    def gradient(block, x):
        params = jax.tree.map(lambda leaf: leaf + 0.5, block.init(KEY, x))["params"]
        return jax.grad(
            lambda params: jnp.sum(
                jnp.sin(block.apply({"params": params}, x, mutable=["batch_stats"])[0])
            )
        )(params)

    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (3, 6, 6, 2), jnp.float64)
        frozen, trained = (gradient(Block(frozen), x) for frozen in (True, False))
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-9, 1e-9), frozen, trained)
    assert not np.any(frozen[f"{layer.__name__}_0"]["bias"])
