"""Signals that ask a run to save its state and exit with code 128 + the signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # SLURM sends the last as a warning


class StopRequest:
    """The number of the signal that has been received; 0 if there is none."""

    number: int = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first signal instead of handling it; a second one has its usual effect.

    Outside of the main thread, where Python cannot handle signals, nothing is recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number
        for each, handler in previous.items():
            signal.signal(each, handler)

    previous = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
