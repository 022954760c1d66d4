"""The placement of a run: a mesh of devices with the axes `member` and `batch`.

Members of a population are sharded along the first axis, the examples of each batch along the
second. Models and algorithms are unaware of it: XLA partitions their programs to match these
shardings of inputs and outputs.
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
    one_by_one,
    one_by_one_in_place,
    sharded,
    single,
)


class Layout(NamedTuple):
    """The devices of a run, and the way its members share them."""

    mesh: Mesh
    num_members: int | None  # None: a single run, whose arrays have no member axis
    strategy: Strategy | None
    lift: Lift
    lift_update: Lift  # for functions that return their first argument, updated, and more

    @property
    def members(self) -> NamedSharding:
        """The sharding of arrays with a member axis: states, keys, hyperparameters."""
        return NamedSharding(self.mesh, P() if self.num_members is None else P("member"))

    @property
    def shared(self) -> NamedSharding:
        """The replicated sharding of the data, and of everything that returns to the host."""
        return NamedSharding(self.mesh, P())

    @property
    def rows(self) -> NamedSharding:
        """The sharding of a chunk's batches, or of their indices: `[members, steps, b]`."""
        member = () if self.num_members is None else ("member",)
        return NamedSharding(self.mesh, P(*member, None, "batch"))

    @property
    def is_sequential(self) -> bool:
        """Whether members on the same device run one after the other."""
        within = default_strategy() if self.strategy == "shard" else self.strategy
        return within == "map"


def default_strategy() -> Strategy:
    """Return `map` on a CPU, `vmap` elsewhere.

    As `python -m experiments.benchmark population` shows, batching the members of a population does
    not pay on a CPU, whereas a single small model leaves most of a GPU idle.
    """
    return "map" if jax.default_backend() == "cpu" else "vmap"


def layout(
    num_members: int | None = None, strategy: Strategy | None = None, batch_devices: int = 1
) -> Layout:
    """Create the layout of a single run (`num_members=None`) or of a population.

    Without a strategy, members are spread over as many devices as divide their number. Raises
    InputError if members or devices cannot be divided as requested.
    """
    num_devices = jax.device_count()
    if num_devices % batch_devices:
        raise InputError(
            f"{num_devices} device(s) cannot be divided into groups of {batch_devices} that share "
            f"a batch: choose a divisor of {num_devices} for --batch-devices."
        )
    groups = num_devices // batch_devices
    if num_members is None:
        used, lift, lift_update = 1, single, single
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


def put(tree: PyTree[np.ndarray], sharding: NamedSharding) -> PyTree[jax.Array]:
    """Copy host arrays, which every process holds in full, to the devices."""

    def put_array(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put_array, tree)
