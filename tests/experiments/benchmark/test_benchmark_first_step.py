"""The time to the first step: what a process does until then, and the table."""

import json
import os
import subprocess
import sys
import time

from experiments.benchmark import first_step, tables


def test_a_run_prints_when_its_first_step_ended_and_exits(tmp_path):
    options = ["--model", "mlp", "--hidden-dims", "8", "--run-dir", str(tmp_path / "run")]
    start = time.time()
    done = subprocess.run(
        [sys.executable, "-c", first_step.CHILD, *first_step.EXPERIMENT, *options],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert start < float(done.stdout.splitlines()[-1]) < time.time()
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))  # it was not trained further


def test_the_table_shows_medians(tmp_path):
    figures = {"cold": 9.876, "cached": 3.0, "jaxgen": 0.05, "jax": 0.6}
    record = {
        "environment": {"backend": "cpu", "cpu_count": 2},
        "seconds": {name: {"median": value} for name, value in figures.items()},
    }
    (tmp_path / "first_step_cpu.json").write_text(json.dumps(record))
    *_, row = tables.start_table(tmp_path).splitlines()
    assert row == "| 2 CPU cores | 9.88 | 3.00 | 0.60 | 0.05 |"
