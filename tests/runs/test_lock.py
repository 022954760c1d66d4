"""One process at a time writes to a run, whatever happened to the last one."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from jaxgen.errors import InputError
from jaxgen.runs import lock

HOLD = (
    "import sys, time; from pathlib import Path; from jaxgen.runs import lock\n"
    "with lock.hold(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_the_first_one_s_host_and_pid(tmp_path, other):
    message = f"in use by process {other.pid} on {socket.gethostname()}"
    with pytest.raises(InputError, match=message):
        lock.hold(tmp_path).__enter__()


def test_a_dead_process_does_not_block(tmp_path, other):
    other.kill()
    other.wait()
    with lock.hold(tmp_path):
        holder = json.loads(lock.lock_path(tmp_path).read_text())
        assert holder == {"host": socket.gethostname(), "pid": os.getpid()}


def test_it_is_refused_within_the_same_process_too(tmp_path):
    with lock.hold(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()}"):
        lock.hold(tmp_path).__enter__()
    with lock.hold(tmp_path):  # and is free again
        pass


@pytest.mark.parametrize(("age", "is_free"), [(0, False), (299, False), (301, True)])
def test_another_host_blocks_until_its_heartbeat_is_five_minutes_old(tmp_path, age, is_free):
    path = lock.lock_path(tmp_path)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7}))
    then = time.time() - age
    os.utime(path, (then, then))
    if is_free:
        with lock.hold(tmp_path):
            pass
    else:
        with pytest.raises(InputError, match="in use by process 7 on elsewhere"):
            lock.hold(tmp_path).__enter__()
    assert ("elsewhere" in path.read_text()) != is_free


def test_a_released_lock_names_nobody(tmp_path):
    with lock.hold(tmp_path):
        pass
    assert json.loads(lock.lock_path(tmp_path).read_text()) == {}


def test_the_heartbeat_keeps_the_file_recent(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    path = lock.lock_path(tmp_path)
    with lock.hold(tmp_path):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 100


@pytest.mark.parametrize("text", ["", "{", "[]", "5"])
def test_a_damaged_file_does_not_block(tmp_path, text):
    lock.lock_path(tmp_path).write_text(text)
    with lock.hold(tmp_path):
        pass
