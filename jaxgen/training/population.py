"""Populations: many runs as one program, with an axis over run keys and hyperparameters.

A strategy has the signature of `jax.vmap`: it lifts a function of one member to a function of all
members, which share the arguments whose axis is None.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgen.types import Metrics, Mode, State, StateT

Axes = Sequence[int | None]
Lift = Callable[[Callable, Axes], Callable]
Strategy = Literal["vmap", "map", "shard"]

NUM_SHOWN = 16  # members of a population that are listed and evaluated one by one


def single(f: Callable, in_axes: Axes) -> Callable:
    """Return `f` unchanged: the arrays of a single run have no member axis."""
    del in_axes
    return f


def member_args(args: Sequence[PyTree], in_axes: Axes, i: Int[Array, ""]) -> list[PyTree]:
    """Select the arguments of member i: its slice of those that have a member axis."""
    return [
        arg if axis is None else jax.tree.map(lambda leaf: leaf[i], arg)
        for arg, axis in zip(args, in_axes, strict=True)
    ]


def one_by_one(f: Callable, in_axes: Axes) -> Callable:
    """Map over the members one by one, each bit-identical to a single run and as fast.

    On a CPU the step of a small model already fills the cores and the caches.
    """

    def mapped(*args: Any) -> Any:
        num_members = next(
            len(jax.tree.leaves(arg)[0])
            for arg, axis in zip(args, in_axes, strict=True)
            if axis is not None
        )
        return lax.map(lambda i: f(*member_args(args, in_axes, i)), jnp.arange(num_members))

    return mapped


def one_by_one_in_place(f: Callable, in_axes: Axes) -> Callable:
    """Map like `one_by_one`, and update the first argument in place.

    `f` returns that argument, updated, and further outputs. `lax.map` would allocate new arrays for
    the states, fill them with zeros and overwrite those.
    """

    def mapped(states: State, *args: Any) -> tuple[State, Any]:
        def one(states: State, i: Int[Array, ""]) -> tuple[State, Any]:
            new, outputs = f(*member_args((states, *args), in_axes, i))
            return jax.tree.map(lambda array, x: array.at[i].set(x), states, new), outputs

        return lax.scan(one, states, jnp.arange(len(jax.tree.leaves(states)[0])))

    return mapped


def sharded(num_devices: int, within: Lift) -> Lift:
    """Split the members evenly among devices, and lift them by `within` on each device.

    The axis over devices is the outer one, so that it matches a sharding of the members.
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


def freeze_if_not_finite(
    train: Callable[[StateT, PyTree, PyTree, Key[Array, ""]], tuple[StateT, Metrics]],
) -> Callable[[StateT, PyTree, PyTree, Key[Array, ""], Int[Array, ""]], tuple[StateT, Metrics]]:
    """Wrap `train` so that a chunk with a NaN or infinite metric leaves the state unchanged.

    The result takes one more argument, the step at which the chunk starts. A state behind that step
    has been frozen and stays frozen, which does not affect the other members. From the next chunk
    on, all its metrics are NaN.
    """

    def train_chunk(
        state: StateT, data: PyTree, rows: PyTree, key: Key[Array, ""], start: Int[Array, ""]
    ) -> tuple[StateT, Metrics]:
        new, metrics = train(state, data, rows, key)
        finite = jnp.all(jnp.stack([jnp.isfinite(values).all() for values in metrics.values()]))
        is_active = state.step == start
        continues = finite & is_active
        state = jax.tree.map(lambda n, old: jnp.where(continues, n, old), new, state)
        return state, jax.tree.map(lambda values: jnp.where(is_active, values, jnp.nan), metrics)

    return train_chunk


class Summary(NamedTuple):
    """Statistics of a metric over the members for which it is finite."""

    mean: float
    std: float  # sample standard deviation; 0 for one member
    min: float
    max: float


def summarize(values: Float[np.ndarray, "m"]) -> Summary:
    """Summarize the finite values; all statistics are NaN if there are none."""
    values = values[np.isfinite(values)].astype(float)
    if not len(values):
        return Summary(*[float("nan")] * 4)
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Summary(float(values.mean()), std, float(values.min()), float(values.max()))


def best_member(values: Float[np.ndarray, "m"], mode: Mode) -> int | None:
    """Return the member with the smallest or largest finite value; None if there is none."""
    worst = np.inf if mode == "min" else -np.inf
    scores = np.where(np.isfinite(values), values, worst)
    if not np.isfinite(scores).any():
        return None
    return int(scores.argmin() if mode == "min" else scores.argmax())


def ranking(values: Float[np.ndarray, "m"], mode: Mode) -> Int[np.ndarray, "k"]:
    """List the members with finite values, from the best to the worst."""
    finite = np.flatnonzero(np.isfinite(values))
    sign = 1 if mode == "min" else -1
    return finite[np.argsort(sign * values[finite], kind="stable")]


def best_median_worst(values: Float[np.ndarray, "m"], mode: Mode) -> dict[int, str]:
    """Name the best, the median and the worst member; there are fewer of fewer than three."""
    ranked = ranking(values, mode).tolist()
    if not ranked:
        return {}
    return {ranked[-1]: "worst", ranked[(len(ranked) - 1) // 2]: "median", ranked[0]: "best"}


def spread_out(num: int, max_num: int) -> Int[np.ndarray, "k"]:
    """Choose at most `max_num` indices below `num`, evenly spaced, with both ends."""
    return np.unique(np.linspace(0, num - 1, min(num, max_num)).round().astype(int))
