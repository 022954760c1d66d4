"""What every experiment does before it trains: hosts, data, devices, run directory."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from rich.progress import Progress

from experiments.members import members
from experiments.options import RunOptions, to_record
from jaxgen import data, runs
from jaxgen.errors import InputError
from jaxgen.training import checkpoint, devices, loop, memory
from jaxgen.training.devices import Layout, place
from jaxgen.types import Batch, State


class DataSets(NamedTuple):
    """The images of a run."""

    name: str
    train: Batch  # on the device or, if it is streamed from there, on the host and not padded
    test: Batch  # on the device
    is_streamed: bool

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        _, height, width, channels = self.test.image.shape
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """Labels are 0...num_classes - 1."""
        return int(self.train.label.max()) + 1

    def pad(self, batch: Batch) -> Batch:
        """Images of the host, as large as the model takes them."""
        return data.pad_to(batch, self.image_shape[0])


def join_hosts(options: RunOptions) -> None:
    """Makes this process one of several, if it is. Comes before anything that asks for devices."""
    if not options.distributed:
        return
    try:
        jax.distributed.initialize(options.coordinator, options.num_processes, options.process_id)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"The hosts of this run do not come together ({reason}): give each process "
            "--coordinator HOST:PORT, --num-processes and its own --process-id."
        ) from None


def is_writer() -> bool:
    """Whether this process writes the records, and speaks: one of all does."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when every process has come here."""
    multihost_utils.sync_global_devices(name)


def cache_dir() -> Path:
    """Where the user keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgen"


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache."""
    jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def load_data(options: RunOptions, layout: Layout, progress: Progress) -> DataSets:
    """The training and test images that are asked for, padded to the image size.

    Training images are streamed where they would fill more than half of the device.
    """
    name, notice = data.choose(options.dataset, options.data_dir, options.manual_dir)
    if notice:
        progress.console.print(notice)
    load = partial(data.load, name, data_dir=options.data_dir, manual_dir=options.manual_dir)
    test = data.pad_to(load("test"), options.image_size)
    is_streamed = options.data_mode == "stream"
    if options.data_mode == "auto":
        size = len(load("train", mapped=True).label) * test.image[0].nbytes
        is_streamed = size > memory.device_bytes() / 2
    if is_streamed:
        train = load("train", mapped=True)
    else:
        train = place(data.pad_to(load("train"), options.image_size), layout.shared)
    return DataSets(name, train, place(test, layout.shared), is_streamed)


def prepare(
    config: Any, progress: Progress, default_epochs: Callable[[int], int]
) -> tuple[Any, DataSets, Layout]:
    """The configuration, with all that it left open, its data, and where the run lies.

    `default_epochs` maps the number of training images to how many passes are good by default.
    """
    options = config.run
    if options.compilation_cache:
        keep_compiled_programs()
    layout = choose_layout(config)
    sets = load_data(options, layout, progress)
    # Raises here what would otherwise leave an empty run directory behind
    num_images = len(sets.train.label)
    loop.epoch_shape(num_images, options.batch_size)
    num_epochs = options.epochs or default_epochs(num_images)
    options = dataclasses.replace(options, dataset=sets.name, epochs=num_epochs)
    return dataclasses.replace(config, run=options), sets, layout


def choose_layout(config: Any) -> Layout:
    """The layout of the run. Raises InputError if the devices cannot be divided as asked."""
    options, num_members = config.run, len(members(config))
    if options.batch_size % options.batch_devices:
        raise InputError(
            f"A batch of {options.batch_size} cannot be split evenly among "
            f"{options.batch_devices} devices: change --batch-size or --batch-devices."
        )
    is_population = num_members > 1
    if options.strategy is not None and not is_population:
        raise InputError(
            "--strategy says how the members of a population share the devices, and this is one "
            "run: ask for more with --num-seeds or --sweep, or leave it out."
        )
    chosen = devices.layout(
        num_members if is_population else None, options.strategy, options.batch_devices
    )
    if jax.process_count() > 1 and chosen.mesh.size < jax.device_count():
        raise InputError(
            f"{num_members} run(s), each batch on {options.batch_devices} device(s), would leave "
            f"some of {jax.device_count()} devices idle, which several processes cannot: choose "
            "--num-seeds or --batch-devices that give work to all."
        )
    return chosen


def open_run(options: RunOptions, name: str) -> Path:
    """The run directory: the one to go on with, or a new one. Raises InputError if it is taken."""
    if options.resume is not None:
        return options.resume
    run_dir = options.run_dir or runs.next_free(Path("runs"), name)
    runs.check_free(run_dir, overwrite=options.overwrite)  # every process, so that all say so
    wait_for_all("run directory is free")
    if is_writer():
        runs.create(run_dir, overwrite=options.overwrite)
    wait_for_all("run directory is there")
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
    step = loop.num_updates(state)
    if step >= num_steps:
        raise InputError(f"{run_dir} is finished: ask for more --epochs to go on with it.")
    if is_writer():
        runs.forget_after(run_dir, step)
        runs.write_config(run_dir, to_record(config))
        runs.record_start(run_dir, **details)
    return state
