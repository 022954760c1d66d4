"""One run on two hosts: the same numbers as on one, which can continue it."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from running import CGAN, JAXGEN, SMALL, TINY_VAE, VAE, start, succeed, without_times

from jaxgen.runs import directory, records
from jaxgen.training import checkpoint

SCORE = "test/negative_elbo_nats"


def start_on_two_hosts(command, *options, cwd):
    """The same command as two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = os.environ.get("XLA_FLAGS", "")
    env = os.environ | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=2"}
    command = [*command, *options, "--distributed", "--coordinator", f"localhost:{port}"]
    return [
        subprocess.Popen(
            [*command, "--num-processes", "2", "--process-id", str(i)],
            cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip


def run_on_two_hosts(command, *options, cwd):
    """The same command as two processes, which must end without an error."""
    for process in start_on_two_hosts(command, *options, cwd=cwd):
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


def test_two_hosts_train_what_one_trains_and_one_continues(tmp_path):
    options = [*TINY_VAE, "--final-learning-rate", "1"]  # constant, so that a run can be extended
    run_on_two_hosts(
        VAE, *options, "--epochs", "1", "--batch-devices", "4",
        "--run-dir", "run", "--data-mode", "stream", cwd=tmp_path,
    )  # fmt: skip
    start("vae", "--resume", tmp_path / "run", "--epochs", 2)
    start("vae", *options, "--epochs", 2, "--run-dir", tmp_path / "single")
    there, here = (records.read_metrics(tmp_path / name) for name in ("run", "single"))
    assert [line["step"] for line in there] == [10, 20]
    for one, other in zip(there, here, strict=True):
        assert one[SCORE] == pytest.approx(other[SCORE], rel=1e-4)
    starts = json.loads(directory.environment_path(tmp_path / "run").read_text())
    assert [start["mesh"]["batch"] for start in starts] == [4, 1]


@pytest.mark.slow
def test_two_hosts_share_the_members_of_a_population(tmp_path):
    options = [*TINY_VAE, "--epochs", "1", "--num-seeds", "4", "--draw-members", "2"]
    run_on_two_hosts(VAE, *options, "--run-dir", "run", cwd=tmp_path)
    start("vae", *options, "--run-dir", tmp_path / "single")
    there, here = (records.read_metrics(tmp_path / name)[-1] for name in ("run", "single"))
    assert there[SCORE] == pytest.approx(here[SCORE], rel=1e-4)
    assert there["best_member"] == here["best_member"]
    drawn = directory.drawn_members(tmp_path / "run")
    assert drawn == directory.drawn_members(tmp_path / "single")
    assert {0, 3, here["best_member"]} <= set(drawn)
    succeed(VAE, "--resume", "run", "--epochs", "2", cwd=tmp_path)


@pytest.mark.slow
def test_two_hosts_train_a_gan_and_take_over_from_one(tmp_path):
    settings = [*SMALL, "--learning-rate", "2e-5"]  # a GAN amplifies differences in rounding
    options = ["--epochs", "1", "--batch-devices", "4", "--run-dir", "run", "--report"]
    run_on_two_hosts(CGAN, *settings, *options, cwd=tmp_path)
    text = directory.report_path(tmp_path / "run").read_text()
    assert "Interpolation between classes" in text
    assert "Missing from this report" not in text
    succeed(CGAN, "--resume", "run", "--epochs", "2", cwd=tmp_path)
    run_on_two_hosts(CGAN, "--resume", "run", "--epochs", "3", "--batch-devices", "4", cwd=tmp_path)
    succeed(CGAN, *settings, "--epochs", "3", "--run-dir", "single", cwd=tmp_path)
    there, here = (records.read_metrics(tmp_path / name) for name in ("run", "single"))
    assert [line["step"] for line in there] == [10, 20, 30]
    for loss in ("train/generator_loss", "train/discriminator_loss", "test/d_real"):
        for one, other in zip(there, here, strict=True):
            assert one[loss] == pytest.approx(other[loss], rel=1e-4)


def wait_for_line(run_dir, epoch):
    deadline = time.monotonic() + 300
    while not any(line["epoch"] == epoch for line in records.read_metrics(run_dir)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_one(processes, number):
    """Kill one of two processes; the seconds until the other exits, with an error."""
    processes[number].kill()
    start = time.monotonic()
    _, errors = processes[1 - number].communicate(timeout=300)
    processes[number].communicate()
    assert processes[1 - number].returncode != 0, errors
    print(f"process {1 - number} exits with {processes[1 - number].returncode}: {errors}")
    return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_if_one_of_two_hosts_dies_the_other_exits_and_the_run_goes_on(tmp_path, number):
    """On two hosts, on one after a kill, and on two again."""
    run_dir = tmp_path / "run"
    options = [*TINY_VAE, "--epochs", "12"]
    save = ["--save-every", "0"]  # each of the short epochs
    two = ["--batch-devices", "4", *save]
    processes = start_on_two_hosts(VAE, *options, *two, "--run-dir", "run", cwd=tmp_path)
    wait_for_line(run_dir, 2)
    assert kill_one(processes, number) < 60
    alone = subprocess.Popen(
        [*VAE, "--resume", "run", *save], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    wait_for_line(run_dir, 6)
    alone.kill()
    alone.wait()
    run_on_two_hosts(VAE, "--resume", "run", *two, cwd=tmp_path)
    start("vae", *options, "--run-dir", tmp_path / "single")
    there, here = (records.read_metrics(path) for path in (run_dir, tmp_path / "single"))
    assert [line["epoch"] for line in there] == list(range(1, 13))
    for one, other in zip(there, here, strict=True):
        assert one[SCORE] == pytest.approx(other[SCORE], rel=1e-4)
    succeed(JAXGEN, "verify", "run", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_to_one_of_two_hosts_stops_both_at_the_same_chunk(tmp_path, number):
    """SLURM may warn a single process. Both save one state, from which the run goes on."""
    options = [*TINY_VAE, "--epochs", "40"]
    two = ["--batch-devices", "4", "--save-every", "0"]  # each of the short epochs
    processes = start_on_two_hosts(VAE, *options, *two, "--run-dir", "run", cwd=tmp_path)
    wait_for_line(tmp_path / "run", 1)
    processes[number].send_signal(signal.SIGUSR1)
    (output, _), _ = (process.communicate(timeout=120) for process in processes)
    assert [process.returncode for process in processes] == [128 + signal.SIGUSR1] * 2
    stopped = re.search(r"stopped by SIGUSR1 after step (\d+)", output)
    assert stopped is not None
    (saved,) = checkpoint.steps(directory.checkpoints_path(tmp_path / "run"))[-1:]
    assert saved == int(stopped[1])
    assert saved < 400
    run_on_two_hosts(VAE, "--resume", "run", *two, cwd=tmp_path)
    run_on_two_hosts(VAE, *options, *two, "--run-dir", "whole", cwd=tmp_path)
    there, whole = (records.read_metrics(tmp_path / name) for name in ("run", "whole"))
    assert without_times(there) == without_times(whole)
