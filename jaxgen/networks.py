"""Checks of Flax modules that are to be the networks of a learner.

Modules are traced with abstract arrays, so that a mistake shows before any training.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.errors import InvalidRngError
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var
from jaxtyping import PyTree

from jaxgen.errors import InputError

LAYOUT = {"reshape", "transpose", "squeeze", "broadcast_in_dim", "convert_element_type"}
ACTIVATIONS = {"tanh": "tanh", "logistic": "sigmoid"}


def check_members(module: object, protocol: type) -> None:
    """Raise InputError unless a Flax module has all members of a protocol.

    Methods that take `train` in the protocol must take it as a keyword.
    """
    name, where = type(module).__name__, f"{protocol.__module__}.{protocol.__name__}"
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{module!r} is not an instance of a Flax module, which {where} describes."
        )
    members = {n: m for n, m in vars(protocol).items() if n == "__call__" or n[0] != "_"}
    if missing := [member for member in members if not hasattr(module, member)]:
        raise InputError(
            f"{name} has no {', '.join(missing)}: see {where}, which needs {', '.join(members)}."
        )
    for member, function in members.items():
        if callable(function) and "train" in inspect.signature(function).parameters:
            parameters = inspect.signature(getattr(module, member)).parameters.values()
            if not any(p.name == "train" or p.kind is p.VAR_KEYWORD for p in parameters):
                raise InputError(
                    f"{name}.{member} does not take `train`: add `*, train: bool`, which tells "
                    "training from evaluation, to its parameters."
                )


class Traced(NamedTuple):
    """A network in evaluation, as it was traced."""

    output: PyTree[jax.ShapeDtypeStruct]
    jaxpr: Jaxpr


def trace(name: str, function: Callable[..., PyTree], *inputs: PyTree) -> Traced:
    """Trace a network in evaluation. Raises InputError if it draws random numbers there."""
    try:
        jaxpr, output = jax.make_jaxpr(function, return_shape=True)(*inputs)
        return Traced(output, jaxpr.jaxpr)
    except InvalidRngError as error:
        raise InputError(
            f"{name} draws random numbers although train=False "
            f"({str(error).partition(' (')[0]}): make that depend on `train`, as in "
            "nn.Dropout(rate, deterministic=not train)."
        ) from None


def check_updates(name: str, before: Mapping[str, PyTree], after: Mapping[str, PyTree]) -> None:
    """Raise InputError if a step changes the structure or the shapes of a variable collection."""
    for collection, updated in after.items():
        old = before.get(collection, {})
        if jax.tree.map(jnp.shape, old) != jax.tree.map(jnp.shape, updated):
            raise InputError(
                f"{name} changes the structure of its collection {collection} in a step: its "
                "variables must keep the shapes that they have after init."
            )


def final_activation(jaxpr: Jaxpr) -> str:
    """Name the activation that computes the output: tanh, sigmoid, or an empty string."""
    return ACTIVATIONS.get(_last_primitive(jaxpr, jaxpr.outvars[0]), "")


def check_image_shape(image: jax.Array, image_shape: tuple[int, ...]) -> None:
    """Raise InputError if a batch has other images than those that a network is built for."""
    if image.shape[1:] != tuple(image_shape):
        raise InputError(
            f"The network takes images of shape {tuple(image_shape)}, not of shape "
            f"{image.shape[1:]}: build it with this image_shape, or change the images."
        )


def _last_primitive(jaxpr: Jaxpr, output: Var | Literal) -> str:
    """Return the primitive that computes an output, apart from changes of its layout."""
    equation = next((e for e in reversed(jaxpr.eqns) if output in e.outvars), None)
    if equation is None or isinstance(output, Literal):
        return ""
    if equation.primitive.name in LAYOUT:
        return _last_primitive(jaxpr, equation.invars[0])
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    if inner is None:
        return equation.primitive.name
    inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
    return _last_primitive(inner, inner.outvars[equation.outvars.index(output)])
