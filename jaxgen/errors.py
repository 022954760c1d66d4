"""Errors that the user can fix."""

import math


class InputError(ValueError):
    """A request that cannot be fulfilled; the message says what is wrong and what to do.

    Commands print it without a traceback and exit with code 2. Any other exception is a bug and
    keeps its traceback.
    """


def require_positive(**values: float | int | tuple[float | int, ...]) -> None:
    """Raise InputError for the first value, or item of a tuple, that is not a positive number."""
    for name, value in values.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(0 < number < math.inf for number in numbers):
            raise InputError(f"{name} must be positive, but is {value}.")


def require_not_negative(**values: float | int) -> None:
    """Raise InputError for the first value that is negative, infinite or NaN."""
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be 0 or more, but is {value}.")
