"""Check the numbers that a caller passes to `fit` and `pick`."""

from __future__ import annotations

import math
from numbers import Real

from backends.errors import ProblemError


def whole(least: int = 1, most: float = math.inf, **numbers: object) -> None:
    """Raise ProblemError unless each number is a whole number from `least` to `most`.

    A float with a whole value, such as 1e9, is accepted.
    """
    for name, number in numbers.items():
        if (
            isinstance(number, Real)
            and float(number).is_integer()
            and least <= float(number) <= most
        ):
            continue
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most:g}"
        raise ProblemError(f"{name} must be a whole number {limits}, not {number!r}")


def positive(**numbers: object) -> None:
    """Raise ProblemError unless each number is finite and above 0."""
    for name, number in numbers.items():
        if not (isinstance(number, Real) and 0 < float(number) < math.inf):
            raise ProblemError(f"{name} must be a finite number above 0, not {number!r}")
