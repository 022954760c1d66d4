"""What every experiment does around its own work: data, run directory, epochs, records."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from rich.progress import Progress

from experiments.options import RunOptions, to_record
from jaxgen import data, runs
from jaxgen.errors import InputError
from jaxgen.training import checkpoint, loop
from jaxgen.types import Batch, State


class DataSets(NamedTuple):
    """The images of a run, on the device."""

    name: str
    train: Batch
    test: Batch

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        _, height, width, channels = self.train.image.shape
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """Labels are 0...num_classes - 1."""
        return int(self.train.label.max()) + 1


class Epoch(NamedTuple):
    """What an epoch has brought."""

    state: State  # given away to the next epoch
    number: int  # counted from 1
    step: int  # updates so far
    seconds: float  # of training
    metrics: dict[str, float]  # means over its steps


def cache_dir() -> Path:
    """Where the user keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgen"


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache."""
    jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def load_data(options: RunOptions, progress: Progress) -> DataSets:
    """The training and test images that are asked for, padded to the image size."""
    name, notice = data.choose(options.dataset, options.data_dir, options.manual_dir)
    if notice:
        progress.console.print(notice)
    splits = (
        data.pad_to(
            data.load(name, split, options.data_dir, options.manual_dir), options.image_size
        )
        for split in ("train", "test")
    )
    return DataSets(name, *(jax.device_put(split) for split in splits))


def prepare(
    config: Any, progress: Progress, default_epochs: Callable[[int], int]
) -> tuple[Any, DataSets]:
    """The configuration, with all that it left open, and its data.

    `default_epochs` maps the number of training images to how many passes are good by default.
    """
    if config.run.compilation_cache:
        keep_compiled_programs()
    sets = load_data(config.run, progress)
    # Raises here what would otherwise leave an empty run directory behind
    num_images = len(sets.train.label)
    loop.epoch_shape(num_images, config.run.batch_size)
    num_epochs = config.run.epochs or default_epochs(num_images)
    options = dataclasses.replace(config.run, dataset=sets.name, epochs=num_epochs)
    return dataclasses.replace(config, run=options), sets


def open_run(options: RunOptions, name: str) -> Path:
    """The run directory: the one to go on with, or a new one. Raises InputError if it is taken."""
    if options.resume is not None:
        return options.resume
    run_dir = options.run_dir or runs.next_free(Path("runs"), name)
    runs.create(run_dir, overwrite=options.overwrite)
    return run_dir


def begin(
    run_dir: Path,
    config: Any,
    manager: ocp.CheckpointManager,
    state: State,
    num_steps: int,
    **details: Any,
) -> State:
    """The state that the run has reached (`state` if it is new), once this start is recorded.

    Raises InputError if it has all of its `num_steps` behind it.
    """
    state = checkpoint.restore_latest(manager, state)
    if state.step >= num_steps:
        raise InputError(f"{run_dir} is finished: ask for more --epochs to go on with it.")
    runs.forget_after(run_dir, int(state.step))
    runs.write_config(run_dir, to_record(config))
    runs.record_start(run_dir, **details)
    return state


def epochs(
    progress: Progress,
    step: loop.Step,
    state: State,
    train: Batch,
    keys: loop.RunKeys,
    shape: loop.EpochShape,
    num_epochs: int,
) -> Iterator[Epoch]:
    """Trains an epoch at a time, and shows how it goes.

    Raises InputError at the first step with a metric that is not finite.
    """
    total = num_epochs * shape.num_steps
    task = progress.add_task("", total=total, completed=int(state.step), status="compiling")
    chunks = []
    for chunk in loop.fit(step, state, train, keys, shape=shape, num_epochs=num_epochs):
        check_finite(chunk.metrics, first_step=chunk.step - shape.chunk_steps)
        chunks.append(chunk)
        rate = shape.chunk_steps * shape.batch_size / chunk.seconds
        losses = [name for name in chunk.metrics if name.endswith("loss")]
        status = [f"{name} {chunk.metrics[name].mean():.4g}" for name in losses]
        status = ", ".join([*status, f"{rate:,.0f} images/s"]).replace("_loss", "")
        progress.update(task, completed=chunk.step, status=status)
        if chunk.ends_epoch:
            means = {
                name: float(np.mean([chunk.metrics[name] for chunk in chunks]))
                for name in chunk.metrics
            }
            seconds = sum(chunk.seconds for chunk in chunks)
            chunks = []
            yield Epoch(chunk.state, chunk.epoch + 1, chunk.step, seconds, means)


def keep(
    run_dir: Path, manager: ocp.CheckpointManager, epoch: Epoch, test: Mapping[str, Any]
) -> dict[str, Any]:
    """Saves the epoch's state and its line of `metrics.jsonl`, and returns that.

    Raises InputError, and keeps nothing, if a test metric is not finite.
    """
    values = {name: np.asarray(value) for name, value in test.items()}
    check_finite(values, first_step=epoch.step)
    record = {
        "epoch": epoch.number,
        "step": epoch.step,
        "seconds": round(epoch.seconds, 3),  # of training alone
        "time": round(time.time(), 3),
        **{f"train/{name}": value for name, value in epoch.metrics.items()},
        **{f"test/{name}": float(value) for name, value in values.items()},
    }
    checkpoint.save(manager, epoch.state, record)
    runs.append_metrics(run_dir, record)
    return record


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
