"""Populations: many runs as one program, along an axis over (run key, hyperparameters).

A strategy is a function with the signature of `jax.vmap`: it lifts a function of one member to one
of all members, who share the arguments whose axis is None.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jaxgen.types import Metrics, State

Axes = Sequence[int | None]
Lift = Callable[[Callable, Axes], Callable]
Strategy = Literal["vmap", "map", "shard"]
TrainChunk = Callable[[State, Any, Any, Key[Array, ""]], tuple[State, Metrics]]


def alone(f: Callable, in_axes: Axes) -> Callable:
    """One run, whose arrays have no member axis."""
    del in_axes
    return f


def own(args: Sequence[Any], in_axes: Axes, i: Int[Array, ""]) -> list[Any]:
    """The arguments of member i: its part of those that have a member axis."""
    return [
        arg if axis is None else jax.tree.map(lambda leaf: leaf[i], arg)
        for arg, axis in zip(args, in_axes, strict=True)
    ]


def one_by_one(f: Callable, in_axes: Axes) -> Callable:
    """The members one after the other: each as fast, and to the bit the same, as if alone.

    On a CPU a small model's step fills the cores and the caches already.
    """

    def mapped(*args: Any) -> Any:
        num_members = next(
            len(jax.tree.leaves(arg)[0])
            for arg, axis in zip(args, in_axes, strict=True)
            if axis is not None
        )
        return lax.map(lambda i: f(*own(args, in_axes, i)), jnp.arange(num_members))

    return mapped


def one_by_one_in_place(f: Callable, in_axes: Axes) -> Callable:
    """`one_by_one` for an f that returns its first argument, updated, and something more.

    `lax.map` would write the members' states to new arrays, after it has filled these with zeros.
    """

    def mapped(states: State, *args: Any) -> tuple[State, Any]:
        def one(states: State, i: Int[Array, ""]) -> tuple[State, Any]:
            new, more = f(*own((states, *args), in_axes, i))
            return jax.tree.map(lambda all, value: all.at[i].set(value), states, new), more

        return lax.scan(one, states, jnp.arange(len(jax.tree.leaves(states)[0])))

    return mapped


def sharded(num_devices: int, within: Lift) -> Lift:
    """Equal parts of the members side by side, one on each device, where `within` lifts them.

    The axis of the parts is the outer one, so a sharding of the members over devices fits it.
    """

    def lift(f: Callable, in_axes: Axes) -> Callable:
        parts = jax.vmap(within(f, in_axes), in_axes)

        def lifted(*args: Any) -> Any:
            split_args = [
                arg if axis is None else jax.tree.map(split, arg)
                for arg, axis in zip(args, in_axes, strict=True)
            ]
            out = parts(*split_args)
            return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), out)

        return lifted

    def split(array: Array) -> Array:
        return array.reshape(num_devices, -1, *array.shape[1:])

    return lift


def guarded(train: TrainChunk) -> Callable:
    """`train` that leaves a state as it is rather than let NaN or infinity in.

    Takes one more argument: the step at which the chunk starts. A state that is behind it has been
    left so before, and stays frozen: members that go on never wait, and never notice.
    """

    def train_chunk(
        state: State, data: Any, rows: Any, key: Key[Array, ""], start: Int[Array, ""]
    ) -> tuple[State, Metrics]:
        new, metrics = train(state, data, rows, key)
        finite = jnp.all(jnp.stack([jnp.isfinite(values).all() for values in metrics.values()]))
        goes_on = finite & (state.step == start)
        return jax.tree.map(lambda n, old: jnp.where(goes_on, n, old), new, state), metrics

    return train_chunk


class Summary(NamedTuple):
    """A metric over the members that have it."""

    mean: float
    std: float  # of the sample; 0 for one member
    min: float
    max: float


def summarise(values: Float[np.ndarray, "m"]) -> Summary:
    """The summary of what is finite among the values; all NaN if nothing is."""
    values = values[np.isfinite(values)].astype(float)
    if not len(values):
        return Summary(*[float("nan")] * 4)
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Summary(float(values.mean()), std, float(values.min()), float(values.max()))


def best_member(values: Float[np.ndarray, "m"], mode: Literal["min", "max"]) -> int | None:
    """Who has the smallest or largest finite value; None if nobody has any."""
    worst = np.inf if mode == "min" else -np.inf
    scores = np.where(np.isfinite(values), values, worst)
    if not np.isfinite(scores).any():
        return None
    return int(scores.argmin() if mode == "min" else scores.argmax())
