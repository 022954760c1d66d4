"""Coordination of the processes of a distributed run."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.extend.backend import clear_backends

from jaxgen.errors import InputError
from jaxgen.runner.options import HardwareOptions

HEARTBEAT_SECONDS = 30  # after which a silent process counts as dead, and the others exit


def join(options: HardwareOptions) -> None:
    """Connect the processes of a distributed run. Call it before devices are initialized."""
    if not options.distributed:
        return
    try:
        jax.distributed.initialize(
            options.coordinator,
            options.num_processes,
            options.process_id,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"The processes of this run could not connect ({reason}): give each of them "
            "--coordinator HOST:PORT, --num-processes and its own --process-id."
        ) from None


def is_writer() -> bool:
    """Return whether this process writes the records and the messages."""
    return jax.process_index() == 0


def leave() -> bool:
    """Disconnect the processes of a run that has ended; return whether this one is its writer.

    Every process must call it. Their arrays are lost, and each goes on with its own devices.
    """
    writes = is_writer()
    if jax.process_count() > 1:
        jax.distributed.shutdown()
        clear_backends()
    return writes


def agree(*numbers: int) -> list[int]:
    """Return the largest of each number that any process passes. Every process must call it."""
    if jax.process_count() == 1:
        return list(numbers)
    return multihost_utils.process_allgather(np.array(numbers, np.int32)).max(axis=0).tolist()


def wait_for_all(name: str) -> None:
    """Return when every process has reached this point."""
    multihost_utils.sync_global_devices(name)
