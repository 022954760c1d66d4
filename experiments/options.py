"""The options that all experiments share, and how a command line and a recorded run fill them."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxgen import runs
from jaxgen.errors import InputError, require_positive
from jaxgen.training.population import Strategy

PLACES = {"strategy", "batch_devices", "data_mode"}  # on what a run happens to run
HOSTS = {"distributed", "coordinator", "num_processes", "process_id"}
NOT_RECORDED = {"run_dir", "resume", "overwrite", "compilation_cache"} | PLACES | HOSTS
# The rest of a configuration decides the numbers that a run arrives at: its start fixes it.
FREE_ON_RESUME = NOT_RECORDED | {"epochs", "data_dir", "manual_dir"}

# What numbers around the loop must be, where an experiment has them; models and algorithms check
# their own.
POSITIVE = (
    "epochs",
    "batch_size",
    "image_size",
    "learning_rate",
    "decay_epochs",
    "num_seeds",
    "batch_devices",
)
NOT_NEGATIVE = ("kl_weight", "kl_warmup_epochs", "penalty_weight")
NUM_SEEDS = 2**32  # JAX would take larger ones for their remainder


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
    epochs: int | None = None
    """Passes through the training set; None: 25 for a VAE, and for the cGAN 50, or more where the
    set is small."""
    seed: int = 0
    """Of all randomness."""
    num_seeds: int = 1
    """Train so many runs together, with this seed and the next ones."""
    strategy: Strategy | None = None
    """Members of a population side by side (vmap), one after the other (map), or spread over
    devices (shard); None: what is fastest here."""
    batch_devices: int = 1
    """Split each batch among so many devices."""
    data_mode: Literal["auto", "memory", "stream"] = "auto"
    """Keep the training images on the device, or stream them to it; auto: what fits."""
    distributed: bool = False
    """Run on several hosts: start this command on each. JAX finds them on SLURM, TPU pods and
    Kubernetes; elsewhere, give the three below."""
    coordinator: str | None = None
    """HOST:PORT at which process 0 listens."""
    num_processes: int | None = None
    """How many there are."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    run_dir: Path | None = None
    """Where everything goes; None: the next free directory in runs/."""
    overwrite: bool = False
    """Delete the run that --run-dir holds."""
    resume: Path | None = None
    """Go on with the run in this directory, exactly as if it had never stopped."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache folder, for the next start."""


def command_line(config_type: type, program: str) -> Any:
    """The configuration that the command line asks for.

    With --resume, what is not on the command line comes from the run. Raises InputError if what is
    contradicts it, and for numbers that make no sense.
    """
    config = tyro.cli(config_type, prog=program)
    _check(config)
    run_dir = config.run.resume
    if run_dir is None:
        return config
    if config.run.run_dir is not None or config.run.overwrite:
        raise InputError(
            f"--resume goes on in {run_dir} itself: leave --run-dir and --overwrite out."
        )
    recorded = read_config(config_type, run_dir)
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


def read_config(config_type: type, run_dir: Path) -> Any:
    """The configuration of a recorded run, with the order to resume it.

    Raises InputError if the run is another experiment's.
    """
    values = runs.read_config(run_dir)
    if not is_record(config_type, values):
        raise InputError(f"{run_dir} was made by another experiment, or another version of it.")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif value is not None and name.endswith("_dir"):
            values[name] = Path(value)
    shared = set(values) & _names(RunOptions)
    options = RunOptions(**{name: values.pop(name) for name in shared}, resume=run_dir)
    sweep = {name: tuple(axis) for name, axis in values.pop("sweep").items()}
    sweep_type = type(config_type().sweep)
    return config_type(**values, sweep=sweep_type(**sweep), run=options)


def is_record(config_type: type, record: Collection[str]) -> bool:
    """Whether `config.json` holds the options of this experiment."""
    return set(record) == (_names(config_type) | _names(RunOptions)) - NOT_RECORDED - {"run"}


def to_record(config: Any) -> dict[str, Any]:
    """What `config.json` holds: all options that say something about the run's numbers or data."""
    return {name: value for name, value in _flat(config).items() if name not in NOT_RECORDED}


def _check(config: Any) -> None:
    """Raises InputError for numbers that make no sense, in the sweep or outside of it."""
    flat = _flat(config)
    for member in [flat, *({name: x} for name, axis in flat.pop("sweep").items() for x in axis)]:
        options = {name: value for name, value in member.items() if value is not None}
        require_positive(**{name: options[name] for name in POSITIVE if name in options})
        for name in NOT_NEGATIVE:
            if name in options and not 0 <= options[name] < math.inf:
                raise InputError(f"{name} must be 0 or more, and is {options[name]}.")
    last_seed = flat["seed"] + flat["num_seeds"] - 1
    if not 0 <= flat["seed"] <= last_seed < NUM_SEEDS:
        raise InputError(f"seed must be from 0 to {NUM_SEEDS - 1}, and is {last_seed}.")
    if flat["distributed"] and flat["run_dir"] is None and flat["resume"] is None:
        raise InputError("--distributed needs --run-dir, a directory that all processes can see.")
    if not flat["distributed"] and any(flat[name] is not None for name in HOSTS - {"distributed"}):
        raise InputError("--coordinator, --num-processes and --process-id need --distributed.")


def _flat(config: Any) -> dict[str, Any]:
    """All options by their names on the command line; what JSON lacks as a string or a list."""
    own = dataclasses.asdict(config)
    shared = own.pop("run")
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in (own | shared).items()
    }


def _names(dataclass: type) -> set[str]:
    return {field.name for field in dataclasses.fields(dataclass)}
