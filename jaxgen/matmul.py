"""Matrix products of layers, as a primitive that suits XLA:CPU."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax
from jax.interpreters import ad
from jaxtyping import Array, Float

from jaxgen.primitives import define

Axes = tuple[int, int]


def matmul(
    x: Float[Array, "*n k"], w: Float[Array, "k f"], dtype: Dtype | None = None
) -> Float[Array, "*n f"]:
    """Compute x @ w, with both factors rounded to `dtype` if there is one.

    Sums and results have the type of `x`, in all derivatives as well. A processor can thus use its
    native products of bfloat16, while everything between them remains float32.
    """
    return _multiply(x, w, (1, 0), dtype)


def matmul_transposed(
    x: Float[Array, "*n k"], w: Float[Array, "f k"], dtype: Dtype | None = None
) -> Float[Array, "*n f"]:
    """Compute x @ wᵀ like `matmul`."""
    return _multiply(x, w, (1, 1), dtype)


def _multiply(x: Array, w: Array, axes: Axes, dtype: Dtype | None) -> Array:
    dtype = None if dtype in (None, x.dtype) else jnp.dtype(dtype)
    y = _bind(x.reshape(-1, x.shape[-1]), w, axes, dtype)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _bind(x: Array, w: Array, axes: Axes, dtype: Dtype | None) -> Array:
    return product_p.bind(x, w, axes=axes, dtype=dtype)


def _product(
    x: Float[Array, "_ _"], w: Float[Array, "_ _"], *, axes: Axes, dtype: Dtype | None
) -> Float[Array, "_ _"]:
    """Sum the products of `x` and `w` over axes[0] of `x` and axes[1] of `w`.

    XLA:CPU computes xᵀ @ w by transposing a factor in memory. For the windows of a transposed
    convolution, nine times as wide as the other factor, that takes longer than the product itself,
    so it is computed as (wᵀ @ x)ᵀ if `w` is narrower.
    """
    if axes == (0, 0) and w.shape[1] < x.shape[1]:
        return _product(w, x, axes=axes, dtype=dtype).T
    if dtype is None:
        return jnp.tensordot(x, w, axes)
    sums = x.dtype
    x, w = x.astype(dtype), w.astype(dtype)
    if jax.default_backend() != "cpu":
        return jnp.tensordot(x, w, axes, preferred_element_type=sums)
    # XLA:CPU uses native products only if the first factor is not transposed. The reshape keeps the
    # transpose out of the layout of `x`, and the barrier keeps that of a result out of the product.
    if axes == (0, 0):
        x, axes = x[..., None].swapaxes(0, 1).reshape(x.shape[::-1]), (1, 0)
    return lax.optimization_barrier(jnp.tensordot(x, w, axes, preferred_element_type=sums))


def _gradient_in_x(dy: Array, x: Any, w: Array, *, axes: Axes, dtype: Dtype | None) -> Array:
    i, j = axes
    return _bind(dy, w, (1, 1 - j), dtype) if i == 1 else _bind(w, dy, (1 - j, 1), dtype)


def _gradient_in_w(dy: Array, x: Array, w: Any, *, axes: Axes, dtype: Dtype | None) -> Array:
    i, j = axes
    return _bind(x, dy, (1 - i, 0), dtype) if j == 0 else _bind(dy, x, (0, 1 - i), dtype)


# A primitive rather than a custom_vjp: as a bilinear one it supports forward mode and all orders.
product_p = define(
    "product",
    _product,
    lambda x, w, axes, dtype: (x.shape[1 - axes[0]], w.shape[1 - axes[1]]),
)
ad.defbilinear(product_p, _gradient_in_x, _gradient_in_w)
