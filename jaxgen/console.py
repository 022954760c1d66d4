"""The terminal: messages, and errors without a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from jaxgen.errors import InputError

FIXABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """A console that prints text verbatim: no markup, no highlighting, no wrapped paths."""
    return Console(quiet=quiet, stderr=stderr, highlight=False, markup=False, soft_wrap=True)


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
