"""What every experiment does around its own work: command line, run directory, epochs, records."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import orbax.checkpoint as ocp
import tyro
from rich.progress import Progress

from jaxgen import data, runs
from jaxgen.errors import InputError
from jaxgen.training import checkpoint, loop
from jaxgen.types import Batch, Learner, Metrics, State

# The rest of a configuration decides the numbers that a run arrives at: its start fixes it.
FREE_ON_RESUME = {"epochs", "data_dir", "manual_dir", "run_dir", "resume", "overwrite"}
NOT_RECORDED = {"run_dir", "resume", "overwrite"}


class Config(Protocol):
    """What the configuration of every experiment has: a frozen dataclass with these fields."""

    dataset: str | None
    data_dir: Path | None
    manual_dir: Path | None
    image_size: int
    batch_size: int
    epochs: int
    run_dir: Path | None
    resume: Path | None
    overwrite: bool


class DataSets(NamedTuple):
    """The images of a run, on the device."""

    name: str
    train: Batch
    test: Batch


class Epoch(NamedTuple):
    """What an epoch has brought."""

    state: State  # given away to the next epoch
    number: int  # counted from 1
    step: int  # updates so far
    seconds: float
    metrics: dict[str, float]  # means over its steps


def command_line(config_type: type, program: str) -> Any:
    """The configuration that the command line asks for.

    With --resume, what is not on the command line comes from the run. Raises InputError if what is
    contradicts it.
    """
    config = tyro.cli(config_type, prog=program)
    if config.resume is None:
        return config
    recorded = _from_json(config_type, config.resume)
    config = tyro.cli(config_type, prog=program, default=recorded)
    differing = [
        f"{field.name} ({getattr(recorded, field.name)} there, {getattr(config, field.name)} here)"
        for field in dataclasses.fields(config_type)
        if field.name not in FREE_ON_RESUME
        and getattr(recorded, field.name) != getattr(config, field.name)
    ]
    if differing:
        raise InputError(
            f"{config.resume} was started with another {', '.join(differing)}: leave that out to "
            "go on with it, or start a new run."
        )
    return config


def load_data(config: Config, progress: Progress) -> DataSets:
    """The training and test images that the configuration asks for, padded to its image size."""
    name, notice = data.choose(config.dataset, config.data_dir, config.manual_dir)
    if notice:
        progress.console.print(notice)
    splits = (
        data.pad_to(data.load(name, split, config.data_dir, config.manual_dir), config.image_size)
        for split in ("train", "test")
    )
    return DataSets(name, *(jax.device_put(split) for split in splits))


def open_run(config: Config, name: str, **details: Any) -> Path:
    """The run directory, with the configuration and this start recorded in it."""
    run_dir = config.resume or config.run_dir or runs.next_free(Path("runs"), name)
    if config.resume is None:
        runs.create(run_dir, overwrite=config.overwrite)
    runs.write_config(run_dir, _to_json(config))
    runs.record_start(run_dir, **details)
    return run_dir


def restore(run_dir: Path, manager: ocp.CheckpointManager, state: State, num_steps: int) -> State:
    """The state that the run had reached, or `state` at its start.

    Raises InputError if it has all of its `num_steps` behind it.
    """
    state = checkpoint.restore_latest(manager, state)
    if state.step >= num_steps:
        raise InputError(f"{run_dir} is finished: ask for more --epochs to go on with it.")
    runs.forget_after(run_dir, int(state.step))
    return state


def epochs(
    progress: Progress,
    learner: Learner,
    state: State,
    train: Batch,
    keys: loop.RunKeys,
    config: Config,
) -> Iterator[Epoch]:
    """Trains an epoch at a time, and shows how it goes.

    Raises InputError at the first step with a metric that is not finite.
    """
    shape = loop.epoch_shape(len(train.label), config.batch_size)
    total = config.epochs * shape.num_steps
    task = progress.add_task("", total=total, completed=int(state.step), status="compiling")
    chunks = []
    for chunk in loop.fit(learner, state, train, keys, shape=shape, num_epochs=config.epochs):
        check_finite(chunk.metrics, first_step=chunk.step - shape.chunk_steps)
        chunks.append(chunk)
        rate = shape.chunk_steps * config.batch_size / chunk.seconds
        loss = " ".join(f"{k} {chunk.metrics[k].mean():.4g}" for k in chunk.metrics if "loss" in k)
        progress.update(task, completed=chunk.step, status=f"{loss}  {rate:,.0f} images/s")
        if chunk.ends_epoch:
            means = {
                name: float(np.mean([chunk.metrics[name] for chunk in chunks]))
                for name in chunk.metrics
            }
            seconds = sum(chunk.seconds for chunk in chunks)
            chunks = []
            yield Epoch(chunk.state, chunk.epoch + 1, chunk.step, seconds, means)


def record(epoch: Epoch, test: Metrics) -> dict[str, float]:
    """An epoch's line for `metrics.jsonl`. Raises InputError if a test metric is not finite."""
    values = {name: np.asarray(value) for name, value in test.items()}
    check_finite(values, first_step=epoch.step)
    return {
        "epoch": epoch.number,
        "step": epoch.step,
        "seconds": round(epoch.seconds, 3),
        **{f"train/{name}": value for name, value in epoch.metrics.items()},
        **{f"test/{name}": float(value) for name, value in values.items()},
    }


def check_finite(metrics: dict[str, np.ndarray], first_step: int) -> None:
    """Raises InputError that names the first step at which a metric is NaN or infinite."""
    finite = np.all([np.isfinite(values) for values in metrics.values()], axis=0).reshape(-1)
    if not finite.all():
        index = int(finite.argmin())
        names = [
            name for name, values in metrics.items() if not np.isfinite(values.reshape(-1)[index])
        ]
        raise InputError(
            f"{', '.join(names)} not finite at step {first_step + index}: stopped, with the last "
            "good checkpoint kept. Try a smaller --learning-rate."
        )


def _to_json(config: Any) -> dict[str, Any]:
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
        if name not in NOT_RECORDED
    }


def _from_json(config_type: type, run_dir: Path) -> Any:
    values = runs.read_config(run_dir)
    types = {field.name: field.type for field in dataclasses.fields(config_type)}
    if set(values) != set(types) - NOT_RECORDED:
        raise InputError(f"{run_dir} was made by another experiment, or another version of it.")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif value is not None and types[name] == Path | None:
            values[name] = Path(value)
    return config_type(**values, resume=run_dir)
