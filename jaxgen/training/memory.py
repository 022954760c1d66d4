"""The device memory that a compiled program needs, and that a device has."""

import os
from typing import Any, NamedTuple

import jax


class MemoryUse(NamedTuple):
    """The bytes that a program needs on one device."""

    held: int  # inputs and outputs
    temporary: int  # while it runs

    @property
    def total(self) -> int:
        """Peak memory, in bytes."""
        return self.held + self.temporary


def memory_use(compiled: jax.stages.Compiled) -> MemoryUse:
    """Return the memory that XLA plans for a program; a donated input counts once."""
    stats: Any = compiled.memory_analysis()
    held = stats.argument_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
    return MemoryUse(held, stats.temp_size_in_bytes)


def device_bytes() -> int:
    """Return the memory of one device in bytes; CPU devices share that of the host."""
    device = jax.local_devices()[0]
    if stats := device.memory_stats():
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
