"""The terminal: messages, and errors without a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from jaxgen.errors import InputError

FIXABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # even if no file is named


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """Create a console that prints text verbatim: no markup, emoji, colors or wrapped paths."""
    return Console(
        quiet=quiet, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
    )


@contextmanager
def report_errors() -> Iterator[None]:
    """Print errors that the user can fix without a traceback, and exit with code 2."""
    try:
        yield
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None and error.errno not in FIXABLE:
            raise
        path = error.filename2 or error.filename or "A file"  # of a renaming, its target
        _fail(f"{path} cannot be used: {error.strerror}.")
    except KeyboardInterrupt:
        _fail("Interrupted: a run continues from its last checkpoint with --resume.")


def _fail(message: str) -> NoReturn:
    make_console(stderr=True).print(Text.assemble(("error: ", "bold red"), message))
    sys.exit(2)
