"""The terminal: progress, messages, and errors without a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

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

FIXABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """A console that prints text verbatim: no markup, no highlighting, no wrapped paths."""
    return Console(quiet=quiet, stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def progress_bar(*, quiet: bool = False) -> Progress:
    """Steps done, a status, and the time left; `quiet` shows nothing."""
    return Progress(
        BarColumn(bar_width=6),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=make_console(quiet=quiet),
    )


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn errors that the user can fix into a line or two, and exit code 2."""
    try:
        yield
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in FIXABLE:
            raise
        _fail(f"Cannot use {error.filename or 'a file'}: {error.strerror}.")
    except KeyboardInterrupt:
        _fail("Interrupted. Finished epochs are saved: continue with --resume RUN_DIR.")


def _fail(message: str) -> NoReturn:
    make_console(stderr=True).print(Text.assemble(("error: ", "bold red"), message))
    sys.exit(2)
