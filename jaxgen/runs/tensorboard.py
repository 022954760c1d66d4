"""TensorBoard's event files: the metrics and samples of each epoch, and the hyperparameters.

tensorboardX writes them, so that TensorFlow is not needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from jaxgen.errors import InputError
from jaxgen.runs import directory
from jaxgen.runs.records import Record, read_metrics

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

HPARAMS = "hparams"  # the folder of the hyperparameters


def require() -> None:
    """Raise InputError if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise InputError(
            "--tensorboard needs tensorboardX: pip install 'jaxgen[tensorboard]'."
        ) from None


@contextmanager
def opened(run_dir: Path) -> Iterator["SummaryWriter"]:
    """Open the event files of a run that starts or is resumed.

    The epochs that metrics.jsonl holds are written again, and replace all earlier points, some of
    which may belong to epochs that a crash has undone.
    """
    from tensorboardX import SummaryWriter

    history = read_metrics(run_dir)
    path = str(directory.events_path(run_dir))
    with SummaryWriter(path, purge_step=0 if history else None) as writer:
        add(writer, run_dir, history)
        yield writer


def add(writer: "SummaryWriter", run_dir: Path, records: Sequence[Record]) -> None:
    """Write the metrics and the samples of epochs.

    Of a population, the means and the samples of the best member or, if that one is not drawn, of
    the first. Points are placed by their step.
    """
    for record in records:
        step, time = record["step"], record["time"]
        for name, value in record.items():
            if isinstance(value, list):
                value = record["summary"][name]["mean"]
            if "/" in name and value is not None:
                writer.add_scalar(name, value, step, time)
        places = [run_dir]
        if (best := record.get("best_member")) is not None:
            members = [best, *directory.drawn_members(run_dir)[:1]]
            places = [directory.member_path(run_dir, member) for member in members]
        samples = [directory.samples_path(place, record["epoch"]) for place in places]
        if found := [path for path in samples if path.exists()]:
            _add_png(writer, found[0], step, time)
    writer.flush()


def add_hyperparameters(run_dir: Path, values: Mapping[str, object], last: Record) -> None:
    """Write the hyperparameters of a finished run, with the metrics of its last epoch."""
    from tensorboardX import SummaryWriter

    plain = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in values.items()
    }
    metrics = {
        name: last["summary"][name]["mean"] if isinstance(value, list) else value
        for name, value in last.items()
        if name.startswith("test/")
    }
    # Without a suffix, a writer of the same second would be emptied: files are named by the time.
    path = str(directory.events_path(run_dir))
    with SummaryWriter(path, filename_suffix=f".{HPARAMS}") as writer:
        writer.add_hparams(plain, metrics, HPARAMS, last["step"])


def _add_png(writer: "SummaryWriter", path: Path, step: int, time: float) -> None:
    """Write a picture as it is, without encoding it again."""
    from tensorboardX.proto.summary_pb2 import (
        Summary,  # pyright: ignore[reportAttributeAccessIssue]  (generated code)
    )

    with Image.open(path) as picture:
        width, height = picture.size
    image = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes()
    )
    summary = Summary(value=[Summary.Value(tag="samples", image=image)])
    assert writer.file_writer is not None
    writer.file_writer.add_summary(summary, step, time)
