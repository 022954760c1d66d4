"""The processor that a benchmark ran on, as Linux describes it."""

import re
from pathlib import Path
from typing import Any

from jaxgen.runs.environment import num_usable_cpus

CPUINFO, CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")
INSTRUCTION_SETS = re.compile(r"avx|amx|fma$|asimd|sve|.*bf16")  # those of matrix products


def processor() -> dict[str, Any]:
    """Describe the processor: its model, threads, caches and instruction sets; empty elsewhere."""
    if not CPUINFO.exists():
        return {}
    caches = [
        {name: (path / name).read_text().strip() for name in ("level", "type", "size")}
        for path in sorted(CACHES.glob("index*"))
    ]
    return parse(CPUINFO.read_text()) | {"threads": num_usable_cpus(), "caches": caches}


def parse(cpuinfo: str) -> dict[str, Any]:
    """Read the model and the instruction sets of the first core in the text of /proc/cpuinfo."""
    lines = [line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in lines}
    flags = fields.get("flags", fields.get("Features", "")).split()  # x86 and ARM
    numbers = [fields[name] for name in ("cpu family", "model", "stepping") if name in fields]
    return {
        "name": re.sub(r"\((R|TM)\)| Processor| CPU", "", fields.get("model name", "unknown")),
        "family_model_stepping": "/".join(numbers),
        "instruction_sets": sorted(flag for flag in flags if INSTRUCTION_SETS.match(flag)),
    }
