"""Neither many runs in one process nor many epochs of a run need more and more."""

import json
import sys
from pathlib import Path

import pytest
from running import AS_USERS_DO, succeed

SCRIPT = [sys.executable, str(Path(__file__).parent / "many_runs.py")]
SETTLED = 5  # reports, of twenty, until everything is loaded
# By default, memory that one thread frees is in an arena that other threads do not use.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


def reports(tmp_path, kind, number):
    """What the process reports after its first reports, and prints them."""
    output = succeed(SCRIPT, kind, number, tmp_path, cwd=tmp_path, **AS_USERS_DO, **ONE_HEAP)
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    print(*found, sep="\n")
    return found[SETTLED:]


def assert_flat(found):
    """Memory grows by less than 3 %, and files and threads not at all."""
    first, last = found[0], found[-1]
    assert last["VmRSS"] < 1.03 * first["VmRSS"]
    assert last["files"] <= max(report["files"] for report in found[:3])
    assert last["Threads"] <= max(report["Threads"] for report in found[:3])


@pytest.mark.slow
def test_two_hundred_runs_in_a_process(tmp_path):
    found = reports(tmp_path, "runs", 200)
    assert_flat(found)
    assert [report["traces"] for report in found] == [report["runs"] for report in found]


@pytest.mark.slow
def test_a_run_of_a_thousand_epochs(tmp_path):
    assert_flat(reports(tmp_path, "epochs", 1000))
