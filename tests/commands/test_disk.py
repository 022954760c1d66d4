"""A disk that is full, read-only or slow: a message, and the last checkpoint survives."""

import json
import os
import signal
import subprocess
import time

import pytest
from running import JAXGEN, VAE, assert_bit_identical, fail, jaxgen, refuse, start, succeed

from jaxgen.runs import lock
from jaxgen.training import checkpoint

# A state of 3 MB, saved after each of the four chunks of an epoch
OPTIONS = ["--dataset", "mnist_5k", "--batch-size", "40", "--model", "mlp", "--epochs", "2"]
OPTIONS += ["--hidden-dims", "128", "--latent-dim", "2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has disturbed."""
    run_dir = tmp_path_factory.mktemp("disk") / "whole"
    start("vae", *OPTIONS, "--run-dir", run_dir)
    return run_dir


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 10 MB, where this process may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a disk needs privileges")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_full_disk_ends_the_run_and_it_continues_with_room(whole, small_disk, capsys):
    run_dir = small_disk / "run"
    message = refuse(capsys, "vae", *OPTIONS, "--save-every", 0, "--run-dir", run_dir)
    assert "MB left" in message
    assert "--resume" in message
    with pytest.raises(SystemExit) as end:
        jaxgen("verify", run_dir)
    assert end.value.code == 0
    assert "resumed from step 50" in capsys.readouterr().out
    remount(small_disk, "size=100m")
    start("vae", "--resume", run_dir)
    assert_bit_identical(whole, run_dir)


@pytest.mark.slow
def test_a_read_only_disk_is_named_before_anything_is_trained(whole, small_disk, capsys):
    run_dir = small_disk / "run"
    start("vae", *OPTIONS, "--epochs", 1, "--run-dir", run_dir)
    remount(small_disk, "ro")
    for options in (
        ["--resume", run_dir, "--epochs", 2],
        [*OPTIONS, "--run-dir", small_disk / "2"],
    ):
        assert ": Read-only file system." in refuse(capsys, "vae", *options)
    jaxgen("export", run_dir, small_disk.parent / "weights.pt")  # reading still works


@pytest.mark.slow
def test_a_file_size_limit_is_named_and_the_last_checkpoint_survives(whole, tmp_path):
    start("vae", *OPTIONS, "--epochs", 1, "--run-dir", tmp_path / "run")
    limited = ["bash", "-c", 'ulimit -f 600; exec "$@"', "bash"]
    options = ["train", "--resume", "run", "--epochs", "2"]
    message = fail([*limited, *JAXGEN], *options, cwd=tmp_path)
    assert "checkpoint of step 200 cannot be written to run/checkpoints (File too large)" in message
    assert len(message.strip().splitlines()) == 1
    assert checkpoint.find_step(tmp_path / "run" / "checkpoints", "latest", "min") == (100, [])


SLOW_CALLS = "fsync,fdatasync"
SLOW = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={SLOW_CALLS}"]
SLOW += ["-e", f"inject={SLOW_CALLS}:delay_exit=6000000"]


@pytest.mark.slow
def test_a_slow_disk_is_named_and_what_it_holds_survives_a_kill(whole, tmp_path):
    """Every time that data are flushed to the disk takes six seconds."""
    try:
        subprocess.run([*SLOW, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("slowing a disk down needs strace, and leave to trace a process")
    command = [*SLOW, *VAE, *OPTIONS, "--save-every", "0", "--run-dir", "run"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    path, deadline = tmp_path / "run" / "checkpoints", time.monotonic() + 400
    while not (len(checkpoint.steps(path)) == 2 and is_writing(path)):
        assert time.monotonic() < deadline
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    pid = json.loads(lock.lock_path(tmp_path / "run").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)
    output = (tmp_path / "log").read_text()
    assert output.count("slow disk: a checkpoint took") == 1
    committed = checkpoint.steps(path)[-1]
    last = f"the run can be resumed from step {committed}"
    assert last in succeed(JAXGEN, "verify", "run", cwd=tmp_path)
    start("vae", "--resume", tmp_path / "run")
    assert_bit_identical(whole, tmp_path / "run")


def is_writing(path):
    """Whether there is a state that no manifest has committed."""
    committed = set(map(str, checkpoint.steps(path)))
    return any(state.is_dir() and state.name not in committed for state in path.iterdir())
