"""What every experiment does around its own work: command line, run directory, epochs, records."""

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import tyro
from rich.progress import Progress

from jaxgen import data, runs
from jaxgen.errors import InputError
from jaxgen.training import checkpoint, loop
from jaxgen.types import Batch, State

# The rest of a configuration decides the numbers that a run arrives at: its start fixes it.
NOT_RECORDED = {"run_dir", "resume", "overwrite", "compilation_cache"}
FREE_ON_RESUME = NOT_RECORDED | {"epochs", "data_dir", "manual_dir"}


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What every experiment can be asked for: the field `run` of its configuration."""

    dataset: str | None = None
    """mnist, mnist_5k (built in), or any image classification set of TensorFlow Datasets.
    None: mnist if it can be had, else mnist_5k."""
    data_dir: Path | None = None
    """Where TensorFlow Datasets keeps prepared sets; None: its own default."""
    manual_dir: Path | None = None
    """A directory with the original .gz files of MNIST, Fashion-MNIST or KMNIST."""
    image_size: int = 32
    """Smaller images are padded with black to this height and width."""
    batch_size: int = 64
    """Images for each update; the few of an epoch that fill no batch are left out."""
    epochs: int = 25
    """Passes through the training set."""
    seed: int = 0
    """Of all randomness."""
    run_dir: Path | None = None
    """Where everything goes; None: the next free directory in runs/."""
    overwrite: bool = False
    """Delete the run that --run-dir holds."""
    resume: Path | None = None
    """Go on with the run in this directory, exactly as if it had never stopped."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache folder, for the next start."""


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


class Epoch(NamedTuple):
    """What an epoch has brought."""

    state: State  # given away to the next epoch
    number: int  # counted from 1
    step: int  # updates so far
    seconds: float  # of training
    metrics: dict[str, float]  # means over its steps


def command_line(config_type: type, program: str) -> Any:
    """The configuration that the command line asks for.

    With --resume, what is not on the command line comes from the run. Raises InputError if what is
    contradicts it.
    """
    config = tyro.cli(config_type, prog=program)
    run_dir = config.run.resume
    if run_dir is None:
        return config
    recorded = _read_config(config_type, run_dir)
    config = tyro.cli(config_type, prog=program, default=recorded)
    there, here = _flat(recorded), _flat(config)
    differing = [
        f"{name} ({there[name]} there, {here[name]} here)"
        for name in there
        if name not in FREE_ON_RESUME and there[name] != here[name]
    ]
    if differing:
        raise InputError(
            f"{run_dir} was started with another {', '.join(differing)}: leave that out to go on "
            "with it, or start a new run."
        )
    return config


def cache_dir() -> Path:
    """Where the user keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgen"


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache."""
    jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def load_data(options: RunOptions, progress: Progress) -> DataSets:
    """The training and test images that the configuration asks for, padded to its image size."""
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
    recorded = {k: v for k, v in _flat(config).items() if k not in NOT_RECORDED}
    runs.write_config(run_dir, recorded)
    runs.record_start(run_dir, **details)
    return state


def epochs(
    progress: Progress,
    step: loop.Step,
    state: State,
    train: Batch,
    keys: loop.RunKeys,
    options: RunOptions,
) -> Iterator[Epoch]:
    """Trains an epoch at a time, and shows how it goes.

    Raises InputError at the first step with a metric that is not finite.
    """
    shape = loop.epoch_shape(len(train.label), options.batch_size)
    total = options.epochs * shape.num_steps
    task = progress.add_task("", total=total, completed=int(state.step), status="compiling")
    chunks = []
    for chunk in loop.fit(step, state, train, keys, shape=shape, num_epochs=options.epochs):
        check_finite(chunk.metrics, first_step=chunk.step - shape.chunk_steps)
        chunks.append(chunk)
        rate = shape.chunk_steps * options.batch_size / chunk.seconds
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


def _flat(config: Any) -> dict[str, Any]:
    """All options by their names on the command line; what JSON lacks as a string or a list."""
    values = dataclasses.asdict(config)
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in (values | values.pop("run")).items()
    }


def _read_config(config_type: type, run_dir: Path) -> Any:
    values = runs.read_config(run_dir)
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    run_fields = {field.name: field for field in dataclasses.fields(RunOptions)}
    if set(values) != (set(fields) | set(run_fields)) - NOT_RECORDED - {"run"}:
        raise InputError(f"{run_dir} was made by another experiment, or another version of it.")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif value is not None and name.endswith("_dir"):
            values[name] = Path(value)
    options = RunOptions(
        **{k: values.pop(k) for k in set(values) & set(run_fields)}, resume=run_dir
    )
    return config_type(**values, run=options)
