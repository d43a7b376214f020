"""Option types that the commands share; each refuses bad input in one line."""

from __future__ import annotations

import math
from typing import Literal

import click


def count(text: str) -> int:
    """Read a whole number above 0; ``1e6`` and ``1_000_000`` are fine."""
    return _whole(text, least=1)


def count_or_0(text: str) -> int:
    """Read a whole number, 0 included."""
    return _whole(text, least=0)


def _whole(text: str, least: int) -> int:
    number = _finite(text)
    if number is None or not number.is_integer() or number < least:
        raise click.BadParameter(f"{text!r} is not a whole number of at least {least}")
    return int(number)


def positive(text: str) -> float:
    """Read a finite number above 0."""
    number = _finite(text)
    if number is None or number <= 0:
        raise click.BadParameter(f"{text!r} is not a finite number above 0")
    return number


def rate(text: str) -> float | Literal["auto"]:
    """Read a learning rate: ``auto``, or a finite number above 0."""
    return "auto" if text == "auto" else positive(text)


def point(text: str) -> tuple[float, ...]:
    """Read finite numbers between commas."""
    numbers = [_finite(part) for part in text.split(",")]
    finite = tuple(number for number in numbers if number is not None)
    if len(finite) < len(numbers):
        raise click.BadParameter(f"{text!r} is not finite numbers between commas")
    return finite


def start(text: str) -> tuple[float, ...] | Literal["random"]:
    """Read where to start: ``random``, or finite numbers between commas."""
    return "random" if text == "random" else point(text)


def columns(text: str) -> tuple[str, ...]:
    """Read names of columns between commas."""
    return tuple(part.strip() for part in text.split(","))


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
