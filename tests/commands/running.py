"""Start commands as their user does: in a process, or in this one where a process adds nothing."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxgen.commands.main import main as console_script
from jaxgen.commands.train import main
from jaxgen.recipes import cgan, vae
from jaxgen.runs import directory, records

JAXGEN = [str(Path(sys.executable).parent / "jaxgen")]
VAE = [sys.executable, "-m", "experiments.vae_mnist", "--no-report"]
CGAN = [sys.executable, "-m", "experiments.cgan_mnist", "--no-report"]
SMALL = ["--dataset", "mnist_5k", "--batch-size", "400"]
TINY_VAE = [*SMALL, *["--model", "mlp", "--hidden-dims", "16", "16", "--latent-dim", "4"]]
TINY_CGAN = [*SMALL, *["--generator-dims", "16", "16", "--discriminator-dims", "16", "16"]]
# 100 steps an epoch in four chunks, each of which is saved
IN_CHUNKS = ["--dataset", "mnist_5k", "--batch-size", "40", "--model", "mlp"]
IN_CHUNKS += ["--hidden-dims", "8", "--latent-dim", "2", "--epochs", "3", "--save-every", "0"]
RECIPES = {"vae": vae.RECIPE, "cgan": cgan.RECIPE}

AS_USERS_DO = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}  # conftest.py sets both


def run(command, *options, cwd, **variables):
    """A finished process, whatever its exit code."""
    env = os.environ | variables
    command = [*command, *map(str, options)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def succeed(command, *options, cwd, **variables):
    """The output of a process, which must end without an error."""
    done = run(command, *options, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(command, *options, cwd):
    """The message of a process that exits with code 2 and without a traceback."""
    done = run(command, *options, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def start(recipe, *options):
    """The output of a training command in this process; raises SystemExit for an error.

    It makes no report, which would take seconds, unless the options ask for one.
    """
    output, args = io.StringIO(), list(map(str, options))
    if "--report" not in args:
        args.append("--no-report")
    with contextlib.redirect_stdout(output):
        main(RECIPES[recipe], program="test", args=args)
    return output.getvalue()


def refuse(capsys, recipe, *options):
    """The message of a training command in this process that exits with code 2."""
    with pytest.raises(SystemExit) as stop:
        start(recipe, *options)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def jaxgen(*options):
    """Run the console script in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["jaxgen", *map(str, options)])
        console_script()


def refuse_jaxgen(capsys, *options):
    """The message of the console script in this process, which exits with code 2."""
    with pytest.raises(SystemExit) as stop:
        jaxgen(*options)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def without_times(lines):
    """Records without what differs between two runs of the same thing."""
    return [{k: v for k, v in line.items() if k not in ("seconds", "time")} for line in lines]


def checkpoint_leaves(run_dir):
    """The arrays of the latest checkpoint, restored by Orbax alone."""
    path = directory.checkpoints_path(run_dir).absolute()
    latest = max(int(state.name) for state in path.iterdir() if state.name.isdigit())
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(path / str(latest))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_bit_identical(one, other):
    """Records, last checkpoint and last samples of two runs are the same."""
    lines = [without_times(records.read_metrics(run_dir)) for run_dir in (one, other)]
    assert lines[0] == lines[1]
    for a, b in zip(checkpoint_leaves(one), checkpoint_leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
    epoch = lines[0][-1]["epoch"]
    samples = [directory.samples_path(run_dir, epoch).read_bytes() for run_dir in (one, other)]
    assert samples[0] == samples[1]
