"""Matrix products of layers, against float64 and NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.matmul import matmul, matmul_transposed

# Rows, summed columns and outputs: ordinary ones, a narrow factor on either side, and extremes.
SIZES = [(6, 5, 4), (40, 18, 3), (40, 3, 18), (1, 7, 5), (7, 1, 5), (7, 5, 1), (1, 1, 1), (0, 3, 2)]
DTYPES = [None, jnp.bfloat16]


def operands(n, k, f):
    keys = jax.random.split(jax.random.key(0), 2)
    return [
        jax.random.normal(key, shape) for key, shape in zip(keys, [(n, k), (k, f)], strict=True)
    ]


def product(form, dtype):
    """x @ w by either function."""
    return {
        "plain": lambda x, w: matmul(x, w, dtype),
        "transposed": lambda x, w: matmul_transposed(x, w.T, dtype),
    }[form]


def rounded(x, dtype):
    return np.asarray(x if dtype is None else x.astype(dtype), np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["plain", "transposed"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products_and_gradients_are_those_of_rounded_factors_in_float64(sizes, form, dtype):
    x, w = operands(*sizes)
    dy = jnp.cos(jnp.arange(float(sizes[0] * sizes[2]))).reshape(sizes[0], sizes[2])

    @jax.jit
    def compiled(x, w, dy):
        y, vjp = jax.vjp(product(form, dtype), x, w)
        return y, *vjp(dy)

    rx, rw, rdy = (rounded(factor, dtype) for factor in (x, w, dy))
    expected = rx @ rw, rdy @ rw.T, rx.T @ rdy
    for a, e in zip(compiled(x, w, dy), expected, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["plain", "transposed"])
@pytest.mark.parametrize("sizes", SIZES[:3], ids=str)
def test_all_derivatives_are_those_of_dot(sizes, form):
    with jax.enable_x64(True):
        x, w = (operand.astype(jnp.float64) for operand in operands(*sizes))

        def derivatives(multiply):
            def loss(x, w):
                return jnp.sum(jnp.sin(multiply(x, w)))

            def penalty(x, w):
                return sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(x, w))

            along = jax.jvp(jax.grad(penalty, (0, 1)), (x, w), (jnp.cos(x), jnp.sin(w)))
            return jax.jvp(multiply, (x, w), (jnp.cos(x), jnp.sin(w))), along

        actual = jax.jit(lambda: derivatives(product(form, None)))()
        expected = jax.jit(lambda: derivatives(jnp.dot))()
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-10, 1e-10), actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_vmap_equals_a_loop(axes, dtype):
    x, w = operands(6, 5, 4)
    stacked = [
        leaf if axis is None else jnp.stack([leaf, leaf - 1, 2 * leaf])
        for leaf, axis in zip((x, w), axes, strict=True)
    ]

    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.sum(jnp.sin(matmul(x, w, dtype))), (0, 1))(x, w)

    actual = jax.jit(jax.vmap(gradients, axes))(*stacked)
    for i in range(3):
        member = [s if a is None else s[i] for s, a in zip(stacked, axes, strict=True)]
        expected = jax.jit(gradients)(*member)
        for a, e in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a[i], e, rtol=1e-5, atol=1e-5)


def test_a_dtype_that_the_operands_already_have_changes_nothing():
    x, w = operands(6, 5, 4)
    programs = {
        jax.jit(jax.grad(lambda x, w, dtype=dtype: matmul(x, w, dtype).sum())).lower(x, w).as_text()
        for dtype in (None, "float32", jnp.float32, jnp.dtype("float32"))
    }
    assert len(programs) == 1


def test_leading_axes_are_kept():
    x, w = operands(6, 5, 4)
    y = matmul(x.reshape(1, 2, 3, 5), w)
    np.testing.assert_allclose(y, np.float64(x @ w).reshape(1, 2, 3, 4), rtol=1e-5)
    assert matmul(x[:0].reshape(0, 2, 5), w).shape == (0, 2, 4)


@pytest.mark.parametrize(("k", "f"), [(9, 32), (32, 9)])
def test_the_gradient_of_a_weight_contracts_the_rows_of_both_factors_and_the_narrower_first(k, f):
    x, w = operands(64, k, f)
    text = jax.jit(jax.grad(lambda w: jnp.sum(jnp.sin(matmul(x, w))))).lower(w).as_text()
    (line,) = (line for line in text.splitlines() if "contracting_dims = [0] x [0]" in line)
    assert "(tensor<64x9xf32>, tensor<64x32xf32>)" in line


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the products of XLA:CPU")
@pytest.mark.parametrize("multiply", [matmul, matmul_transposed])
def test_bfloat16_is_multiplied_natively_wherever_a_plain_product_is(multiply):
    """Otherwise XLA:CPU first converts the factors to float32, and gains nothing."""

    def factors(f, *args):
        text = jax.jit(f).lower(*args).compile().as_text() or ""
        types = dict(re.findall(r"(%[\w.]+) = (b?f\d+)\[", text))
        calls = re.findall(r" dot\((%[\w.]+), (%[\w.]+)\)", text)
        return [types[name] for call in calls for name in call]

    x, w = operands(512, 18, 8)
    low = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    plain = factors(lambda x, w: lax.dot(x, w, preferred_element_type=jnp.float32), *low)

    def loss(params):
        first, second = params
        hidden = jnp.tanh(multiply(x, first, jnp.bfloat16))
        return jnp.sum(jnp.sin(multiply(hidden, second, jnp.bfloat16)))

    def step(params):
        return jax.tree.map(lambda leaf, d: leaf - 0.1 * d, params, jax.grad(loss)(params))

    w = w if multiply is matmul else w.T
    found = factors(step, (w, w.T.copy()))
    assert len(found) == 2 * 5
    assert set(found) == set(plain)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.jit(step)((w, w.T.copy())))
