"""Write numbers as text: times, sizes in bytes, counts, percentages. None becomes "–"."""

from __future__ import annotations

from collections.abc import Sequence

from bench.results.case import SQUARED

MOST_SHOWN = 4
"""Largest number of weights that a text shows. JSON output shows all weights."""


def seconds(value: float | None, digits: int = 3) -> str:
    """Return a time with a suitable unit: 0.00123 s becomes ``1.23 ms``."""
    return _scaled(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")), digits)


def byte_count(value: float | None, digits: int = 3) -> str:
    """Return a number of bytes with a suitable unit: 1.23e9 bytes become ``1.23 GB``."""
    return _scaled(
        value, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")), digits
    )


def figures(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits.

    All digits before the decimal point are kept. With 3 digits, the results look like 0.0123,
    1.23 and 12345.
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def count(value: float) -> str:
    """Return a whole number as text.

    Round numbers are short, such as 1e4 and 2.5e8. Other numbers have commas: 12,345.
    """
    for digits, least in ((0, 1e4), (1, 1e6)):
        short = f"{value:.{digits}e}".replace("e+0", "e").replace("e+", "e")
        if value >= least and float(short) == value:
            return short
    return f"{value:,.0f}"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...], digits: int) -> str:
    if value is None:
        return "–"
    # 999.7 ms rounds to 1 s, not to 1000 ms.
    scale, unit = next((u for u in units if abs(value) >= 0.9995 * u[0]), units[-1])
    return f"{figures(value / scale, digits)} {unit}"


def percent(value: float | None, sign: str = "") -> str:
    """Return a fraction as a percentage: 0.97 becomes ``97%``."""
    return "–" if value is None else f"{sign}{value:.0%}"


def data_text(dtype: str, loss: str) -> str:
    """Return the dtype and the loss as text, such as ``float32, huber``.

    Squared error, the default loss, is left out.
    """
    return dtype if loss == SQUARED else f"{dtype}, {loss}"


def plural(number: int, noun: str) -> str:
    """Return the number with the noun: ``1 iteration``, ``1,000 iterations``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def times(ratio: float) -> str:
    """Return a ratio as text, such as ``1.6×``."""
    return f"{figures(ratio, 2)}×"


def duration(value: float) -> str:
    """Return a time with a suitable unit, up to days: ``1.2 ms``, ``3.4 h``, ``12 days``.

    `value` is in seconds.
    """
    if value < 120:
        return seconds(value)
    for unit, scale in (("min", 60.0), ("h", 3600.0), ("days", 86400.0)):
        limit = {"min": 120 * 60.0, "h": 48 * 3600.0}.get(unit, float("inf"))
        if value < limit:
            return f"{figures(value / scale, 3)} {unit}"
    raise AssertionError(value)


def number_text(value: float) -> str:
    """Return a number with three decimals, such as ``1.633``.

    Numbers below 0.01 and from 10⁶ on have an exponent, such as ``2.500e-03``.
    """
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1e6 else f"{value:.3e}"


def weights_text(w: Sequence[float]) -> str:
    """Return the first `MOST_SHOWN` weights as text.

    If there are more weights, the text ends with their number, such as "… (32 in all)".
    """
    text = ", ".join(map(number_text, w[:MOST_SHOWN]))
    return text if len(w) <= MOST_SHOWN else f"{text}, … ({len(w)} in all)"
