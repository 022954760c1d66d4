"""Saves and restores training states with Orbax: the last few, and the best by a named metric."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from flax import serialization
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import preservation_policy

from jaxgen.errors import InputError
from jaxgen.types import State

NUM_LATEST = 2


def open_manager(
    directory: Path, best_metric: str, mode: Literal["min", "max"]
) -> ocp.CheckpointManager:
    """Writes in the background; keeps the latest two and the one with the best `best_metric`.

    Use it in a `with` block: leaving that waits for what is unwritten.
    """
    best = preservation_policy.BestN(
        get_metric_fn=lambda metrics: metrics[best_metric], reverse=mode == "min", n=1
    )
    latest = preservation_policy.LatestN(NUM_LATEST)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.AnyPreservationPolicy([latest, best]),
        cleanup_tmp_directories=True,
    )
    handler = ocp.StandardCheckpointHandler()
    return ocp.CheckpointManager(directory.absolute(), options=options, item_handlers=handler)


def save(manager: ocp.CheckpointManager, step: int, state: State, metrics: dict[str, Any]) -> None:
    """Saves `state` under the run's step; it may be donated as soon as this returns.

    Raises InputError if the disk has no room for it.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(manager.directory).free
    if free < 2 * needed:  # the one before may still be on its way to the disk
        raise InputError(
            f"The disk of {manager.directory} has {free / 1e6:.0f} MB left, too few for a "
            f"checkpoint of {needed / 1e6:.0f} MB: make room, then go on with --resume."
        )
    manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics)


def restore_latest(manager: ocp.CheckpointManager, like: State) -> State:
    """The latest state, exact to the bit, placed as `like` is.

    `like` itself where nothing has been saved yet. Raises InputError if shapes or structure differ.
    """
    step = manager.latest_step()
    if step is None:
        return like
    if _shapes(manager.item_metadata(step).tree) != _shapes(like):
        raise InputError(
            f"The checkpoint of step {step} in {manager.directory} does not fit this model: "
            "resume it with the configuration and the version that wrote it."
        )
    target = jax.tree.map(ocp.tree.to_shape_dtype_struct, like)
    return manager.restore(step, args=ocp.args.StandardRestore(target))


def restore_arrays(manager: ocp.CheckpointManager) -> PyTree:
    """The latest state on one device, as a tree of dicts and arrays, whatever model it is of."""
    step: Any = manager.latest_step()
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        manager.item_metadata(step).tree,
    )
    return manager.restore(step, args=ocp.args.StandardRestore(target))


def remember(path: Path, compute: Callable[[], PyTree]) -> PyTree:
    """What `compute` returns, a tree of dicts and arrays: computed once, then read from `path`.

    A file written in one go, so that processes which compute it side by side do no harm.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        unfinished.write_bytes(serialization.msgpack_serialize(jax.device_get(compute())))
        unfinished.replace(path)
    return serialization.msgpack_restore(path.read_bytes())


def _shapes(tree: PyTree) -> list[str]:
    return sorted(f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(tree))
