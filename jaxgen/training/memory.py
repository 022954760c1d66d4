"""How much memory a compiled program takes on a device, and how much there is."""

import os
from typing import Any, NamedTuple

import jax


class Need(NamedTuple):
    """Bytes on one device."""

    held: int  # inputs and outputs
    temporary: int  # while it runs

    @property
    def total(self) -> int:
        """At the peak."""
        return self.held + self.temporary


def needed(compiled: jax.stages.Compiled) -> Need:
    """What XLA has planned for a program; an input that is given away counts once."""
    stats: Any = compiled.memory_analysis()
    held = stats.argument_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
    return Need(held, stats.temp_size_in_bytes)


def device_bytes() -> int:
    """What one device has; CPU devices share the host's memory."""
    device = jax.local_devices()[0]
    if stats := device.memory_stats():
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
