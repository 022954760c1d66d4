"""A member of a population becomes an ordinary run."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from experiments import cgan_mnist, vae_mnist
from experiments.members import members
from experiments.options import is_record, read_config, to_record
from experiments.records import member_record
from jaxgen import pictures, runs
from jaxgen.errors import InputError
from jaxgen.training import checkpoint


def member(
    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")],
    index: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")],
    new_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NEW_DIR")],
) -> None:
    """Takes one member out of a population, as a run of its own.

    It has the member's options, records, pictures and latest state, and can be resumed and
    converted like any other run.

    Args:
        run_dir: The population's run directory.
        index: Which member, from 0.
        new_dir: Where the run goes; nothing may be there.
    """
    record = runs.read_config(run_dir)
    experiment = vae_mnist if is_record(vae_mnist.Config, record) else cgan_mnist
    everyone = members(read_config(experiment.Config, run_dir))
    if len(everyone) == 1:
        raise InputError(f"{run_dir} is a single run: there is no member to take out.")
    if not 0 <= index < len(everyone):
        raise InputError(f"{run_dir} has members 0 to {len(everyone) - 1}, and no {index}.")
    if new_dir.exists():
        raise InputError(f"{new_dir} exists already: choose another name.")
    state = member_state(experiment, run_dir, index)
    step = num_updates(state)
    records = [
        member_record(record, index)
        for record in runs.read_metrics(run_dir)
        if record["step"] <= step  # beyond that a frozen member has nothing to say
    ]

    runs.create(new_dir, overwrite=False)
    pictures_dir = runs.member_path(run_dir, index)
    if pictures_dir.is_dir():
        shutil.copytree(pictures_dir, new_dir, dirs_exist_ok=True)
    shutil.copy(runs.environment_path(run_dir), runs.environment_path(new_dir))
    runs.write_config(new_dir, to_record(everyone[index]))
    runs.record_start(new_dir, member=index)
    for record in records:
        runs.append_metrics(new_dir, record)
    with open_manager(experiment, new_dir) as target:
        score = records[-1][experiment.BEST] if records else None
        checkpoint.save(target, step, state, {experiment.BEST: score})
    if records:
        runs.write_result(new_dir)
        pictures.curves(new_dir / "curves.png", records, experiment.PANELS)
    print(f"member {index} as a run of its own, after {step} steps: {new_dir}")


def open_manager(experiment: Any, run_dir: Path) -> Any:
    """The checkpoints of a run of this experiment."""
    path = runs.checkpoints_path(run_dir)
    return checkpoint.open_manager(path, experiment.BEST, experiment.MODE)


def member_state(experiment: Any, run_dir: Path, index: int) -> Any:
    """One member of the latest state, as a tree of dicts and arrays."""
    with open_manager(experiment, run_dir) as manager:
        if manager.latest_step() is None:
            raise InputError(f"{run_dir} has no checkpoint yet: finish an epoch of it first.")
        return jax.tree.map(lambda array: array[index], checkpoint.restore_arrays(manager))


def num_updates(state: Any) -> int:
    """How far a state has come: the smallest of its networks' counters, which is `state.step`."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return min(int(np.asarray(leaf)) for path, leaf in leaves if path[-1].key == "step")
