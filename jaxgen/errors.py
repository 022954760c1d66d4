"""What a user can mend."""


class InputError(ValueError):
    """Something the user asked for cannot be done; the message says what is wrong and what to do.

    Commands show it in a line or two and exit with code 2; everything else is a bug and keeps its
    traceback.
    """
