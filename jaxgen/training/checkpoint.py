"""Save and restore training states with Orbax: the latest two, and the best by a named metric."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import preservation_policy

from jaxgen.errors import InputError
from jaxgen.types import CheckpointChoice, Mode

NUM_LATEST = 2


def open_manager(
    directory: Path, best_metric: str, mode: Mode, *, read_only: bool = False
) -> ocp.CheckpointManager:
    """A manager that writes in the background, and keeps the latest two and the best checkpoint.

    Use it in a `with` block, which waits for unfinished writes at its end. A read-only manager
    leaves a directory alone that another process may be writing to.
    """

    def score(metrics: Mapping[str, float]) -> float:
        return metrics[best_metric]

    best = preservation_policy.BestN(get_metric_fn=score, reverse=mode == "min", n=1)
    latest = preservation_policy.LatestN(NUM_LATEST)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Orbax warns that a read-only manager is read-only
    try:
        return ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.AnyPreservationPolicy([latest, best]),
                best_fn=score,  # without it, Orbax does not save the metrics
                best_mode=mode,
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
            ),
            item_handlers=ocp.StandardCheckpointHandler(),
        )
    finally:
        logging.set_verbosity(verbosity)


def save(
    manager: ocp.CheckpointManager, step: int, state: PyTree, metrics: Mapping[str, float]
) -> None:
    """Save `state` under the run's step; it may be donated as soon as this returns.

    Raises InputError if the disk is too full.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(manager.directory).free
    if free < 2 * size:  # the previous checkpoint may still be in the course of being written
        raise InputError(
            f"The disk of {manager.directory} has {free / 1e6:.0f} MB left, too few for a "
            f"checkpoint of {size / 1e6:.0f} MB: free some space, then continue with --resume."
        )
    manager.save(step, args=ocp.args.StandardSave(state), metrics=dict(metrics))


def find_step(manager: ocp.CheckpointManager, choice: CheckpointChoice) -> int:
    """The step of the latest, the best, or a given checkpoint. Raises InputError without one."""
    steps = list(manager.all_steps())
    if not steps:
        raise InputError(f"{manager.directory} holds no checkpoint.")
    if choice == "latest":
        return max(steps)
    if choice == "best":
        best_step = manager.best_step()
        return max(steps) if best_step is None else best_step
    if choice not in steps:
        available = ", ".join(map(str, sorted(steps)))
        raise InputError(
            f"{manager.directory} holds no checkpoint of step {choice}, only of {available}."
        )
    return choice


def restore(manager: ocp.CheckpointManager, step: int, like: PyTree) -> PyTree:
    """The state of a step, bit for bit, with the structure and sharding of `like`.

    `like` holds arrays or `ShapeDtypeStruct`s. Raises InputError if shapes or structure differ.
    """
    if _shapes(manager.item_metadata(step).tree) != _shapes(like):
        raise InputError(
            f"The checkpoint of step {step} in {manager.directory} does not fit this model: use "
            "the options and the version of jaxgen that wrote it."
        )
    target = jax.tree.map(_placed, like)
    return manager.restore(step, args=ocp.args.StandardRestore(target))


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """Abstract leaves without a sharding are restored to one device."""
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _shapes(tree: PyTree) -> list[str]:
    return sorted(f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(tree))
