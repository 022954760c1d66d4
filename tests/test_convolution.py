"""Convolutions as matrix products, against `lax`'s and Flax's own."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax

from jaxgen.layers import Conv, ConvTranspose, conv, conv_transpose, default_implementation

KEY = jax.random.key(0)
sweep = settings(max_examples=10, deadline=None, derandomize=True)
sizes = st.sampled_from([1, 2, 3, 4, 5, 7, 8])
channels = st.sampled_from([1, 2, 5])
dtypes = st.sampled_from([None, jnp.bfloat16])


@st.composite
def sides(draw, most_extra: int):
    """One side of an image: its size, the kernel's size, the stride and the padding."""
    kernel = draw(st.integers(1, 5))
    extra = draw(st.integers(0, most_extra))
    low = draw(st.integers(0, kernel))
    return draw(sizes), kernel, draw(st.integers(1, 3)), (low, low + extra)


def close(actual, expected, dtype=None):
    """Equal up to rounding: of a sum, or of the factors to bfloat16."""
    tolerance = 3e-5 if dtype is None else 2e-2
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        np.testing.assert_allclose(
            a, e, rtol=tolerance, atol=tolerance * (1 + np.abs(e).max(initial=0))
        )


def value_and_gradients(f, x, kernel):
    """f(x, kernel) and its gradients for a fixed cotangent."""

    @jax.jit
    def compiled(x, kernel):
        y, vjp = jax.vjp(f, x, kernel)
        return y, vjp(jnp.sin(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype))

    return compiled(x, kernel)


def compare(f, rows, columns, kernel_channels, in_channels, dtype):
    (h, kh, sh, ph), (w, kw, sw, pw) = rows, columns
    x_key, kernel_key = jax.random.split(KEY)
    x = jax.random.normal(x_key, (2, h, w, in_channels))
    kernel = jax.random.normal(kernel_key, (kh, kw, *kernel_channels))
    geometry = ((sh, sw), (ph, pw))
    exact = value_and_gradients(lambda x, k: f(x, k, *geometry, "lax"), x, kernel)
    actual = value_and_gradients(lambda x, k: f(x, k, *geometry, "matmul", dtype), x, kernel)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(actual))
    close(actual, exact, dtype)


@sweep
@example((2, 3, 2, (1, 1)), (1, 3, 2, (1, 1)), 2, 5, None)
@given(sides(2), sides(2), channels, channels, dtypes)
def test_conv_and_its_gradients_are_those_of_lax(rows, columns, c, f, dtype):
    for size, kernel, _, padding in (rows, columns):
        if size + sum(padding) < kernel:
            return
    compare(conv, rows, columns, (c, f), c, dtype)


@sweep
@example((1, 3, 2, (1, 2)), (2, 3, 2, (1, 2)), 5, 2, None)
@given(sides(3), sides(3), channels, channels, dtypes)
def test_conv_transpose_and_its_gradients_are_those_of_lax(rows, columns, c, f, dtype):
    for steps, kernel, stride, padding in (rows, columns):
        if (steps - 1) * stride + 2 - kernel + sum(padding) < 1:
            return
    compare(conv_transpose, rows, columns, (f, c), c, dtype)


MODELS = [
    (Conv(4), nn.Conv(4, (3, 3), padding=((1, 1), (1, 1)))),
    (Conv(1), nn.Conv(1, (3, 3), padding=((1, 1), (1, 1)))),
    (Conv(4, strides=(2, 2)), nn.Conv(4, (3, 3), 2, ((1, 1), (1, 1)))),
    (Conv(4, (5, 5), use_bias=False), nn.Conv(4, (5, 5), padding=((1, 1), (1, 1)), use_bias=False)),
    (
        ConvTranspose(4),
        nn.ConvTranspose(4, (3, 3), (2, 2), ((1, 2), (1, 2)), transpose_kernel=True),
    ),
]


@pytest.mark.parametrize(("layer", "flax"), MODELS)
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("form", ["matmul", "lax"])
def test_parameters_and_outputs_are_those_of_flax(layer, flax, dtype, form):
    layer, flax = layer.clone(dtype=dtype, implementation=form), flax.clone(dtype=dtype)

    @jax.jit
    def run(x):
        variables, expected = layer.init(KEY, x), flax.init(KEY, x)
        params = jax.tree.map(lambda leaf: leaf + 0.1, variables)  # a bias that is seen
        return (variables, layer.apply(params, x)), (expected, flax.apply(params, x))

    (variables, y), (expected, expected_y) = run(jax.random.normal(KEY, (2, 6, 4, 3)))
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((variables, y)))
    close(y, expected_y, dtype)


def test_the_transposed_convolution_doubles_the_size():
    assert ConvTranspose(5).init_with_output(KEY, jnp.ones((2, 3, 1, 4)))[0].shape == (2, 6, 2, 5)


LAYERS = [
    (conv, (3, 3, 2, 3), (2, 2), ((1, 1), (1, 1))),
    (conv, (3, 3, 2, 1), (1, 1), ((1, 1), (1, 1))),
    (conv_transpose, (3, 3, 3, 2), (2, 2), ((1, 2), (1, 2))),
]


@pytest.fixture(params=LAYERS, ids=["conv", "few outputs", "transpose"])
def forms(request):
    """The same layer as a function of (x, kernel) in both forms, and its operands."""
    f, shape, *geometry = request.param
    x_key, kernel_key = jax.random.split(KEY)
    operands = jax.random.normal(x_key, (2, 4, 5, 2)), jax.random.normal(kernel_key, shape)
    matmul, reference = (
        lambda x, k, form=form: f(x, k, *geometry, form) for form in ("matmul", "lax")
    )
    return matmul, reference, operands


@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
def test_second_derivatives_are_those_of_lax(forms, outer):
    f, reference, (x, kernel) = forms

    def along(f, t):
        """The gradient in the kernel where both operands are scaled by t: a mixed derivative."""
        return jax.grad(lambda k: jnp.sum(jnp.sin(f(t * x, t * k))))(kernel)

    hessian = jax.jit(lambda f, t: outer(lambda t: along(f, t).ravel()[:3])(t), static_argnums=0)
    close(hessian(f, 0.7), hessian(reference, 0.7))


def test_a_gradient_penalty_has_the_gradient_of_lax(forms):
    f, reference, (x, kernel) = forms

    def penalty(f, kernel):
        return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(f(x, kernel))))(x) ** 2)

    gradient = jax.jit(jax.grad(penalty, 1), static_argnums=0)
    close(gradient(f, kernel), gradient(reference, kernel))


def test_forward_mode_is_that_of_lax(forms):
    f, reference, operands = forms
    tangents = jax.tree.map(jnp.cos, operands)
    close(jax.jvp(f, operands, tangents), jax.jvp(reference, operands, tangents))


@pytest.mark.parametrize("axes", [(0, 0), (None, 0)])
@pytest.mark.parametrize("transform", ["vmap of gradients", "gradients of vmap"])
def test_vmap_equals_a_loop(forms, axes, transform):
    f, _, operands = forms
    stacked = [
        x if a is None else jnp.stack([x, 2 * x, x - 1])
        for x, a in zip(operands, axes, strict=True)
    ]
    members = [
        [x if a is None else x[i] for x, a in zip(stacked, axes, strict=True)] for i in range(3)
    ]

    def loss(x, kernel):
        return jnp.sum(jnp.sin(f(x, kernel)))

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    gradients = [gradient(*member) for member in members]
    if transform == "vmap of gradients":
        expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)
        close(jax.vmap(gradient, axes)(*stacked), expected)
    else:
        total = jax.jit(jax.grad(lambda *args: jnp.sum(jax.vmap(loss, axes)(*args)), (0, 1)))(
            *stacked
        )
        for leaf, axis, *parts in zip(total, axes, *gradients, strict=True):
            close(leaf, sum(parts) if axis is None else jnp.stack(parts))


def test_jit_scan_and_remat_change_nothing(forms):
    f, reference, (x, kernel) = forms

    def loss(f, kernel):
        def body(total, x):
            return total + jnp.sum(jax.checkpoint(f)(x, kernel) ** 2), None

        return lax.scan(body, jnp.zeros(()), jnp.stack([x, x + 1]))[0]

    close(
        jax.jit(jax.grad(loss, 1), static_argnums=0)(f, kernel),
        jax.grad(loss, 1)(reference, kernel),
    )


def operations(f, *args) -> str:
    return str(jax.make_jaxpr(f)(*args))


def test_each_form_runs_what_it_says(forms):
    f, reference, operands = forms
    loss = [lambda *args, f=f: jnp.sum(f(*args)) for f in (f, reference)]
    text = operations(jax.grad(loss[0], (0, 1)), *operands)
    assert "conv_general_dilated" not in text
    assert "pad[" not in text  # windows and their transpose are one operation each
    assert "conv_general_dilated" in operations(loss[1], *operands)


def test_the_form_follows_the_backend(monkeypatch):
    for backend, form in {"cpu": "matmul", "gpu": "matmul", "tpu": "lax"}.items():
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert default_implementation() == form
    x = jnp.ones((1, 4, 4, 1))
    layer = Conv(2)
    assert "conv_general_dilated" in operations(lambda x: layer.init_with_output(KEY, x)[0], x)


@pytest.mark.parametrize("features", [1, 32])
def test_no_tap_is_multiplied_that_sees_only_padding(features):
    """From 2x2 to 1x1, four of the nine taps of a 3x3 kernel lie on pixels."""
    x, kernel = jnp.ones((1, 2, 2, 8)), jnp.ones((3, 3, 8, features))
    text = operations(lambda x, k: conv(x, k, (2, 2), ((1, 1), (1, 1)), "matmul"), x, kernel)
    assert "1,1,1,32" in text
    assert "72" not in text


def test_few_outputs_are_multiplied_before_they_are_shifted():
    """Windows of 8 channels would be 72 wide, those of one output are 9."""
    x, kernel = jnp.ones((1, 4, 4, 8)), jnp.ones((3, 3, 8, 1))
    text = operations(lambda x, k: conv(x, k, (1, 1), ((1, 1), (1, 1)), "matmul"), x, kernel)
    assert "4,4,9]" in text
    assert "72" not in text


def test_lax_runs_where_no_window_meets_a_pixel():
    x, kernel = jnp.ones((1, 1, 1, 2)), jnp.ones((1, 1, 2, 3))
    y = conv(x, kernel, (3, 3), ((1, 1), (1, 1)), "matmul")
    np.testing.assert_array_equal(y, jnp.zeros((1, 1, 1, 3)))


def test_an_empty_batch_stays_empty(forms):
    f, reference, (x, kernel) = forms
    assert f(x[:0], kernel).shape == reference(x[:0], kernel).shape


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxgen.layers import conv, conv_transpose

mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
split, whole = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
x, k = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(8, 4, 6, 3), (3, 3, 3, 3)]))
for f, padding in ((conv, (1, 1)), (conv_transpose, (1, 2))):
    def loss(x, k):
        y = f(x, k, (2, 2), (padding, padding), "matmul")
        return jnp.sum(jnp.sin(y)), y

    step = jax.value_and_grad(loss, (0, 1), has_aux=True)
    expected = jax.jit(step)(x, k)
    sharded = jax.jit(step, in_shardings=(split, whole))
    actual = sharded(x, k)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)
    (_, y), (dx, dk) = actual
    assert y.sharding.shard_shape(y.shape)[0] == dx.sharding.shard_shape(dx.shape)[0] == 2
    assert dk.sharding.is_fully_replicated
    # each device multiplies its own images: nothing but the gradient of the kernel is exchanged
    assert "all-gather" not in sharded.lower(x, k).compile().as_text()
"""


def test_a_batch_sharded_over_devices_changes_nothing():
    flags = os.environ.get("XLA_FLAGS", "")
    env = os.environ | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
