"""What a user sees of an error: a line on stderr and exit code 2, or a traceback for our own."""

import errno

import pytest

from jaxgen import console
from jaxgen.errors import InputError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("choose [one] of two"), "error: choose [one] of two\n"),
        (PermissionError(13, "Permission denied", "/data"), "/data cannot be used: Permission"),
        (OSError(errno.ENOSPC, "No space left"), "A file cannot be used: No space left."),
        (FileExistsError(17, "File exists", "new.tmp", None, "old"), "old cannot be used"),
        (KeyboardInterrupt(), "a run continues from its last checkpoint with --resume"),
    ],
)
def test_what_the_user_can_mend_is_a_message(capsys, error, message):
    with pytest.raises(SystemExit) as end, console.report_errors():
        raise error
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(errno.EBADF, "Bad file descriptor"), TypeError("ours")])
def test_other_errors_are_not_hidden(error):
    with pytest.raises(type(error)), console.report_errors():
        raise error


def test_text_is_printed_as_it_is(capsys):
    text = f"[bold]{'long ' * 40}[/bold] :smile:"
    console.make_console().print(text)
    assert capsys.readouterr().out == text + "\n"
