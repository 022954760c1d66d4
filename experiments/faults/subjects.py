"""The runs that the campaign disturbs: tiny ones, on the built-in digits."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

JAXGEN = (str(Path(sys.executable).parent / "jaxgen"),)
BATCHES = ("--dataset", "mnist_5k", "--batch-size", "80", "--save-every", "0")  # 50 to an epoch
VAE = ("vae", *BATCHES, "--model", "mlp", "--hidden-dims", "16", "16", "--latent-dim", "4")
GAN = ("cgan", *BATCHES, "--generator-dims", "16", "16", "--discriminator-dims", "16", "16")


class Subject(NamedTuple):
    """A command that trains for a moment, and its number of epochs."""

    name: str
    options: tuple[str, ...]
    num_epochs: int


SINGLE = Subject("vae", VAE, 8)
SEEDS = Subject("seeds", (*VAE, "--num-seeds", "2"), 6)
CGAN = Subject("cgan", GAN, 3)  # each epoch classifies 10,000 samples
SUBJECTS = (SINGLE, SEEDS, CGAN)
KILLED = (SINGLE, SEEDS, SINGLE, CGAN)  # in turn


def train(subject: Subject, run_dir: Path) -> tuple[str, ...]:
    """Return the command that starts a run."""
    epochs = str(subject.num_epochs)
    options = (*subject.options, "--epochs", epochs, "--run-dir", str(run_dir), "--no-report")
    return (*JAXGEN, "train", *options)


def resume(run_dir: Path) -> tuple[str, ...]:
    """Return the command that continues a run."""
    return (*JAXGEN, "train", "--resume", str(run_dir), "--save-every", "0", "--no-report")


def environment(room: Path) -> dict[str, str]:
    """Return the variables of the campaign's processes, which share a cache directory in `room`."""
    return os.environ | {"XDG_CACHE_HOME": str(room / "cache")}


@contextmanager
def started(command: Sequence[str], room: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a command that writes its output to a file, and wait for its end on leaving."""
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, env=environment(room), stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        yield process


def finished(command: Sequence[str], room: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, env=environment(room), capture_output=True, text=True, check=False
    )


def reference(subject: Subject, room: Path) -> Path:
    """Train without a disturbance. Raises RuntimeError if that fails."""
    run_dir = room / f"{subject.name}-reference"
    done = finished(train(subject, run_dir), room)
    if done.returncode:
        raise RuntimeError(f"{subject.name} fails without a fault: {done.stdout}{done.stderr}")
    return run_dir
