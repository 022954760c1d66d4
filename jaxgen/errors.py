"""Errors that the user can fix."""

import math


class InputError(ValueError):
    """A request that cannot be fulfilled; the message says what is wrong and what to do.

    Commands show it in a line or two and exit with code 2. Everything else is a bug and keeps its
    traceback.
    """


def require_positive(**options: float | int | tuple[float | int, ...]) -> None:
    """Raise InputError for the first option that is not a positive number, or a tuple of them."""
    for name, value in options.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(0 < number < math.inf for number in numbers):
            raise InputError(f"{name} must be positive, and is {value}.")


def require_not_negative(**options: float | int) -> None:
    """Raise InputError for the first option that is negative, infinite or NaN."""
    for name, value in options.items():
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be 0 or more, and is {value}.")
