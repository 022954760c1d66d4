"""One run on two hosts: the same numbers as on one, which can continue it."""

import json
import os
import socket
import subprocess

import pytest
from running import CGAN, SMALL, TINY_VAE, VAE, start, succeed

from jaxgen.runs import directory, records

SCORE = "test/negative_elbo_nats"


def run_on_two_hosts(command, *options, cwd):
    """The same command as two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = os.environ.get("XLA_FLAGS", "")
    env = os.environ | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=2"}
    command = [*command, *options, "--distributed", "--coordinator", f"localhost:{port}"]
    processes = [
        subprocess.Popen(
            [*command, "--num-processes", "2", "--process-id", str(i)],
            cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    for process in processes:
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
def test_two_hosts_train_a_gan_and_take_over_from_one(tmp_path):
    run_on_two_hosts(
        CGAN, *SMALL, "--epochs", "1", "--batch-devices", "4", "--run-dir", "run", cwd=tmp_path
    )
    succeed(CGAN, "--resume", "run", "--epochs", "2", cwd=tmp_path)
    run_on_two_hosts(CGAN, "--resume", "run", "--epochs", "3", "--batch-devices", "4", cwd=tmp_path)
    succeed(CGAN, *SMALL, "--epochs", "3", "--run-dir", "single", cwd=tmp_path)
    there, here = (records.read_metrics(tmp_path / name) for name in ("run", "single"))
    assert [line["step"] for line in there] == [10, 20, 30]
    for loss in ("train/generator_loss", "train/discriminator_loss", "test/d_real"):
        for one, other in zip(there, here, strict=True):
            assert one[loss] == pytest.approx(other[loss], rel=1e-2)
