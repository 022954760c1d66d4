"""The options of a run: those of its recipe, and those that every recipe has."""

import dataclasses
from pathlib import Path
from typing import Generic, Literal, TypeVar

import tyro

from jaxgen.data.resize import Resize
from jaxgen.errors import InputError, require_positive
from jaxgen.recipes.recipe import ConfigT
from jaxgen.training.population import Strategy
from jaxgen.types import CheckpointChoice

SweepT = TypeVar("SweepT")
NUM_SEEDS = 2**32  # JAX reduces larger seeds modulo this number


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """The images to train on."""

    dataset: str | None = None
    """A folder of images, with a folder for each class or without, and with or without train/ and
    test/; an .npz, .npy or IDX file; mnist_5k or shapes (built in), mnist, or any image set of
    TensorFlow Datasets. None: mnist if it is available, otherwise mnist_5k."""
    data_dir: Path | None = None
    """Directory of prepared sets of TensorFlow Datasets; None: its own default."""
    manual_dir: Path | None = None
    """Directory with the original .gz files of MNIST, Fashion-MNIST or KMNIST."""
    image_size: int = 32
    """Height and width of the images."""
    channels: Literal[1, 3] | None = None
    """1: grey, 3: color; None: 1 if all images are grey, otherwise 3."""
    resize: Resize | None = None
    """crop: scale the center of each image; pad: center the whole image in black, shrunk if it is
    too large; stretch: scale the whole image, whatever its shape. None: crop photos; pad sets of
    one size, such as digits."""
    skip_broken: bool = False
    """Leave out files that cannot be read."""

    def __post_init__(self) -> None:
        require_positive(**{"--image-size": self.image_size})


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long to train, and how many runs."""

    batch_size: int = 64
    """Images per update; those of an epoch that do not fill a chunk of updates are dropped."""
    epochs: int | None = None
    """Passes over the training set; None: the recipe's default for a set of this size."""
    seed: int = 0
    """Seed from which every PRNG key derives."""
    num_seeds: int = 1
    """Train this many runs together, with consecutive seeds."""

    def __post_init__(self) -> None:
        require_positive(**{"--batch-size": self.batch_size, "--num-seeds": self.num_seeds})
        if self.epochs is not None and self.epochs < 0:
            raise InputError(f"--epochs must be 0 or more, but is {self.epochs}.")
        last_seed = self.seed + self.num_seeds - 1
        if not 0 <= self.seed <= last_seed < NUM_SEEDS:
            raise InputError(f"--seed must be from 0 to {NUM_SEEDS - 1}, but is {last_seed}.")


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The directory of the run, and its starting point."""

    run_dir: Path | None = None
    """Directory of the run; None: the next free one in runs/."""
    overwrite: bool = False
    """Delete the run that --run-dir holds."""
    resume: Path | None = None
    """Continue the run in this directory, bit-identical to a run that never stopped."""
    init_from: Path | None = None
    """Start from the weights of this run or PyTorch file, with a new optimizer state."""
    checkpoint: CheckpointChoice = "latest"
    """Checkpoint of the run that --init-from names: latest, best of the saved ones, or a step."""
    save_every: float | None = None
    """Minutes between checkpoints within an epoch; None: 10. There is one at the end of each epoch,
    too, if ten seconds have passed since the last, and after the last epoch. A smaller number
    applies to both; 0 saves after every chunk of updates. If the states of a population take more
    than 1 GB, None saves them only every 10 minutes and at the end, and keeps one checkpoint."""
    draw_members: int = 16
    """Members of a population to draw after each epoch, evenly spaced among all. At the end, the
    best, the median and the worst are drawn, too."""
    report: bool = True
    """Make report.html at the end."""
    tensorboard: bool = False
    """Write TensorBoard's event files to the folder tensorboard of the run."""

    def __post_init__(self) -> None:
        require_positive(**{"--draw-members": self.draw_members})
        if self.save_every is not None and not self.save_every >= 0:
            raise InputError(f"--save-every must be 0 or more, but is {self.save_every}.")
        if self.resume is not None and (self.run_dir or self.overwrite or self.init_from):
            raise InputError(
                f"--resume continues in {self.resume} itself: omit --run-dir, --overwrite and "
                "--init-from."
            )


@dataclasses.dataclass(frozen=True)
class HardwareOptions:
    """The hardware of the run, which affects its results only by rounding."""

    strategy: Strategy | None = None
    """Members of a population side by side (vmap), one after the other (map), or spread over
    devices (shard); None: the fastest on this hardware."""
    batch_devices: int = 1
    """Split each batch among this many devices."""
    data_mode: Literal["auto", "memory", "stream"] = "auto"
    """Keep the training images on the device, or stream them to it; auto: whatever fits."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache directory for the next start."""
    distributed: bool = False
    """Run on several hosts: start this command on each. JAX finds them on SLURM, TPU pods and
    Kubernetes; elsewhere, give the three options below."""
    coordinator: str | None = None
    """HOST:PORT at which process 0 listens."""
    num_processes: int | None = None
    """Number of processes."""
    process_id: int | None = None
    """Number of this process, from 0."""

    def __post_init__(self) -> None:
        require_positive(**{"--batch-devices": self.batch_devices})
        if not self.distributed and (self.coordinator, self.num_processes, self.process_id) != (
            None,
            None,
            None,
        ):
            raise InputError("--coordinator, --num-processes and --process-id need --distributed.")


@dataclasses.dataclass(frozen=True)
class Options(Generic[ConfigT, SweepT]):
    """All options of a run."""

    config: tyro.conf.OmitArgPrefixes[ConfigT]
    sweep: SweepT
    data: tyro.conf.OmitArgPrefixes[DataOptions] = DataOptions()
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = TrainingOptions()
    output: tyro.conf.OmitArgPrefixes[OutputOptions] = OutputOptions()
    hardware: tyro.conf.OmitArgPrefixes[HardwareOptions] = HardwareOptions()

    def __post_init__(self) -> None:
        output = self.output
        if self.hardware.distributed and output.run_dir is None and output.resume is None:
            raise InputError(
                "--distributed needs --run-dir, a directory that all processes can see."
            )
