"""What a person at the terminal sees: progress, epochs, and errors without a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from jaxgen.errors import InputError

MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}


def progress_bar(*, quiet: bool = False) -> Progress:
    """Steps done, the latest losses, images per second, and the time left; or nothing at all."""
    return Progress(
        BarColumn(bar_width=6),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(highlight=False, quiet=quiet),
    )


@contextmanager
def errors_in_plain_words() -> Iterator[None]:
    """Ends the process with code 2 and a line or two, where the user can mend what went wrong."""
    try:
        yield
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        where = error.filename or "a file"
        _fail(f"Cannot use {where}: {error.strerror}. Mend that, or choose another place.")
    except KeyboardInterrupt:
        _fail("Interrupted. Finished epochs are kept: go on with --resume and the run directory.")


def _fail(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("error: ", "bold red"), message)
    )
    sys.exit(2)
