"""One run on several processes: they join, one of them writes, and they wait for each other."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.errors import InputError
from jaxgen.runner.options import HardwareOptions


def join(options: HardwareOptions) -> None:
    """Make this process one of several if that is asked for; before anything asks for devices."""
    if not options.distributed:
        return
    try:
        jax.distributed.initialize(options.coordinator, options.num_processes, options.process_id)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"The processes of this run could not connect ({reason}): give each of them "
            "--coordinator HOST:PORT, --num-processes and its own --process-id."
        ) from None


def is_writer() -> bool:
    """Whether this process writes the records and the messages."""
    return jax.process_index() == 0


def agree(number: int) -> int:
    """The largest number that any process has; 0 if none has any. Every process must call it."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def wait_for_all(name: str) -> None:
    """Return when every process has reached this point."""
    multihost_utils.sync_global_devices(name)
