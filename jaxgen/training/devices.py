"""Where a run lies: a mesh of devices with the axes `member` and `batch`.

Members of a population go to different devices along the one, the examples of each batch along the
other. Models and algorithms know nothing of it: XLA divides their programs as these shardings of
their inputs and outputs demand.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxgen.errors import InputError
from jaxgen.training.population import (
    Lift,
    Strategy,
    alone,
    one_by_one,
    one_by_one_in_place,
    sharded,
)


class Layout(NamedTuple):
    """The devices of a run, and how its members share them."""

    mesh: Mesh
    num_members: int | None  # None: one run, whose arrays have no member axis
    strategy: Strategy | None
    lift: Lift
    lift_update: Lift  # of a function that returns its first argument, updated, and something more

    @property
    def members(self) -> NamedSharding:
        """Of what each member has of its own: states, keys, hyperparameters."""
        return NamedSharding(self.mesh, P() if self.num_members is None else P("member"))

    @property
    def shared(self) -> NamedSharding:
        """Of what is the same everywhere: data, and all that goes back to the host."""
        return NamedSharding(self.mesh, P())

    @property
    def rows(self) -> NamedSharding:
        """Of a chunk's batches, or of their indices: `[members, steps, b]`."""
        member = () if self.num_members is None else ("member",)
        return NamedSharding(self.mesh, P(*member, None, "batch"))

    @property
    def takes_turns(self) -> bool:
        """Whether the members on one device run one after the other."""
        within = default_strategy() if self.strategy == "shard" else self.strategy
        return within == "map"


def default_strategy() -> Strategy:
    """How members share one device: one after the other on CPU, side by side elsewhere.

    Measured by `python -m experiments.benchmark population`: on CPU what wider arrays gain an MLP
    is little beside what they cost a convolution; one small model leaves most of a GPU idle.
    """
    return "map" if jax.default_backend() == "cpu" else "vmap"


def layout(
    num_members: int | None = None, strategy: Strategy | None = None, batch_devices: int = 1
) -> Layout:
    """The layout of one run, or of a population.

    Without a strategy, members are spread over as many devices as divide their number. Raises
    InputError if they, or the devices, cannot be divided as asked.
    """
    num_devices = jax.device_count()
    if num_devices % batch_devices:
        raise InputError(
            f"{num_devices} devices cannot be divided into groups of {batch_devices}, which would "
            "share a batch: choose --batch-devices that divides their number."
        )
    groups = num_devices // batch_devices
    if num_members is None:
        used, lift, lift_update = 1, alone, alone
    else:
        used = groups if strategy == "shard" else 1
        if strategy is None:
            used = math.gcd(num_members, groups)
            strategy = "shard" if used > 1 else default_strategy()
        if num_members % used:
            raise InputError(
                f"{num_members} members cannot be divided among {used} devices: change "
                f"--num-seeds or the sweep to a multiple of {used}, or choose another --strategy."
            )
        lifts = {"vmap": (jax.vmap, jax.vmap), "map": (one_by_one, one_by_one_in_place)}
        if strategy == "shard":
            lift, lift_update = (sharded(used, within) for within in lifts[default_strategy()])
        else:
            lift, lift_update = lifts[strategy]
    size = used * batch_devices
    chosen = jax.local_devices()[:1] if size == 1 else jax.devices()[:size]
    mesh = jax.make_mesh(
        (used, batch_devices),
        ("member", "batch"),
        axis_types=(AxisType.Auto,) * 2,
        devices=chosen,
    )
    return Layout(mesh, num_members, strategy, lift, lift_update)


def place(tree: PyTree[np.ndarray], sharding: NamedSharding) -> PyTree[jax.Array]:
    """Host arrays, which every process has whole, onto the devices."""

    def placed(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(placed, tree)
