"""Tests of jaxgen.runs.environment."""

import subprocess
import sys


def test_counts_the_cores_that_the_process_may_use():
    """`taskset` limits a process to one core, whatever the machine has."""
    program = "from jaxgen.runs.environment import num_usable_cpus; print(num_usable_cpus())"
    command = ["taskset", "--cpu-list", "0", sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"
