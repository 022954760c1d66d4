"""How often the states of a run are saved, and how many of them are kept."""

from typing import NamedTuple

LARGE_POPULATION = 1e9  # bytes; writing them takes about as long as short epochs wait for it
SECONDS_WITHIN_EPOCHS = 600.0
SECONDS_BETWEEN_EPOCHS = 10.0


class Pace(NamedTuple):
    """The time between checkpoints, and whether earlier ones are kept."""

    within_epochs: float = SECONDS_WITHIN_EPOCHS
    at_ends: float = SECONDS_BETWEEN_EPOCHS
    """Seconds, at the ends of epochs."""
    keep_earlier: bool = True


def choose_pace(save_every: float | None, num_bytes: int, *, is_population: bool) -> Pace:
    """Choose the pace of a run from --save-every, in minutes, and the bytes of its state.

    Without --save-every, a large population is not saved after each short epoch, which would take
    longer than to train it, and keeps one checkpoint: a run of less than ten minutes writes only
    that of its end.
    """
    if save_every is not None:
        return Pace(60 * save_every, min(60 * save_every, SECONDS_BETWEEN_EPOCHS))
    if is_population and num_bytes > LARGE_POPULATION:
        return Pace(at_ends=SECONDS_WITHIN_EPOCHS, keep_earlier=False)
    return Pace()


def describe(pace: Pace, num_bytes: int) -> str:
    """Say that only one checkpoint is kept; an empty string if earlier ones are, too."""
    if pace.keep_earlier:
        return ""
    return (
        f"checkpoints of {num_bytes / 1e9:.1f} GB: written every {pace.at_ends / 60:.0f} minutes, "
        "on a signal to stop and at the end, and one is kept (--save-every MINUTES keeps three)"
    )
