"""Find all uses of PRNG keys in a function, without computing what it computes.

The function is traced, and of its jaxpr only keys and small integers are evaluated. Scans are run
step by step, since the keys of a step depend on its number.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

Value = jax.Array | None  # None: not followed
MOST_VALUES = 64
CALLS = {"jit", "custom_jvp_call", "custom_vjp_call", "remat2"}
RANDOM = {"random_bits", "random_split", "random_fold_in"}


class Uses(NamedTuple):
    """How often each key, as raw data, draws bits, is split, or is folded into with a number."""

    bits: Counter
    split: Counter
    fold_in: Counter


def key_uses(function: Callable[[jax.Array], Any], key: jax.Array) -> Uses:
    """The uses in function(key), as if everything that it computes were finite."""
    uses = Uses(Counter(), Counter(), Counter())
    evaluate(jax.make_jaxpr(function)(key), [key], uses)
    return uses


def is_followed(aval: Any) -> bool:
    """Whether arrays of this shape and type are evaluated."""
    kinds = (jax.dtypes.prng_key, np.integer, np.bool_)
    return aval.size <= MOST_VALUES and any(jnp.issubdtype(aval.dtype, kind) for kind in kinds)


def evaluate(closed: ClosedJaxpr, args: Sequence[Value], uses: Uses) -> list[Value]:
    """The outputs of a jaxpr."""
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.invars, args, strict=True))
    values |= {
        var: const if is_followed(var.aval) else None
        for var, const in zip(jaxpr.constvars, closed.consts, strict=True)
    }

    def read(atom: Any) -> Value:
        return jnp.asarray(atom.val) if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        outputs = evaluate_equation(equation, [read(atom) for atom in equation.invars], uses)
        values |= zip(equation.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def evaluate_equation(equation: Any, args: list[Value], uses: Uses) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return evaluate_scan(params, args, uses)
    if name in CALLS:
        jaxpr = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
        closed = ClosedJaxpr(jaxpr, ()) if isinstance(jaxpr, Jaxpr) else jaxpr
        return evaluate(closed, args, uses)
    assert not any(map(has_random, params.values())), f"{name} uses keys and is not followed"
    if name in RANDOM:
        record(name, args, uses)
    avals = [out.aval for out in equation.outvars]
    if name == "is_finite":
        return [jnp.ones(aval.shape, bool) for aval in avals]
    if name == "random_bits" or not all_known(args) or not all(map(is_followed, avals)):
        return [None] * len(avals)
    outputs = equation.primitive.bind(*args, **params)
    return outputs if equation.primitive.multiple_results else [outputs]


def evaluate_scan(params: dict[str, Any], args: list[Value], uses: Uses) -> list[Value]:
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    consts, carry = args[:num_consts], args[num_consts:][:num_carry]
    stacks, rows = args[num_consts + num_carry :], []
    order = range(params["length"])
    for step in reversed(order) if params["reverse"] else order:
        row = [None if stack is None else stack[step] for stack in stacks]
        outputs = evaluate(params["jaxpr"], [*consts, *carry, *row], uses)
        carry = outputs[:num_carry]
        rows.append(outputs[num_carry:])
    columns = zip(*(reversed(rows) if params["reverse"] else rows), strict=True)
    return carry + [jnp.stack(column) if all_known(column) else None for column in columns]


def record(name: str, args: list[Value], uses: Uses) -> None:
    known = [value for value in args if value is not None]
    assert len(known) == len(args), f"{name} depends on values that are not followed"
    keys = list(map(tuple, np.asarray(jax.random.key_data(known[0])).reshape(-1, 2).tolist()))
    if name == "random_fold_in":
        numbers = np.broadcast_to(known[1], known[0].shape).ravel().tolist()
        uses.fold_in.update(zip(keys, numbers, strict=True))
    else:
        (uses.bits if name == "random_bits" else uses.split).update(keys)


def all_known(values: Sequence[Value]) -> bool:
    return all(value is not None for value in values)


def has_random(param: Any) -> bool:
    """Whether a parameter of an equation is or holds a jaxpr that uses keys."""
    if isinstance(param, list | tuple):
        return any(map(has_random, param))
    if not isinstance(param, ClosedJaxpr | Jaxpr):
        return False
    return any(
        equation.primitive.name in RANDOM or any(map(has_random, equation.params.values()))
        for equation in param.eqns
    )
