"""JAX primitives that are defined by functions, so that autodiff traces each as one operation."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array


def define(name: str, f: Callable[..., Array], shape: Callable[..., tuple[int, ...]]) -> Primitive:
    """Create a primitive that computes `f` of arrays and static keyword arguments.

    The result has the type of the first array, and its shape is `shape` of the same arguments.
    Derivatives are left to the caller.
    """
    primitive = Primitive(name)
    parameters = inspect.signature(f).parameters.values()
    static = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

    def result(*arrays: Any, **options: Any) -> Any:
        return arrays[0].update(shape=shape(*arrays, **options))

    def batch(arrays: Any, axes: Any, /, **options: Any) -> tuple[Array, int]:
        return jax.vmap(partial(f, **options), axes)(*arrays), 0

    primitive.def_impl(jax.jit(f, static_argnames=static))
    primitive.def_abstract_eval(result)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(f, multiple_results=False))
    return primitive
