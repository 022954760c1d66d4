"""What a user can mend."""

import math
from typing import Any


class InputError(ValueError):
    """Something the user asked for cannot be done; the message says what is wrong and what to do.

    Commands show it in a line or two and exit with code 2; everything else is a bug and keeps its
    traceback.
    """


def require_positive(**options: Any) -> None:
    """Raises InputError for the first option that is no positive number, or a tuple with such."""
    for name, value in options.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(0 < number < math.inf for number in numbers):
            raise InputError(f"{name} must be positive, and is {value}.")
