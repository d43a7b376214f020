"""Group the table of ``pytest --benchmark-only`` by kind of benchmark and size."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from bench.results.case import SQUARED
from bench.show.text import data_text

KINDS = {
    "test_step": "a step",
    "test_native": "a step",
    "test_read": "a step",
    "test_place": "setup, placing the data",
    "test_first_call": "setup, first call",
    "test_import": "setup, importing the library",
    "test_new_shape": "setup, a new shape",
    "test_more_rows": "setup, more rows",
    "test_end_to_end": "end to end, arrays in and w out",
}
"""Title of the groups of each benchmark function, in the order of the table.

A read is in the same group as the steps whose speed the read limits.
"""

MISSING = (
    "A step's time is the time of a round ÷ its number of steps. OPS: steps per second.",
    "All libraries share this process, so import times, cold compile times and the memory of",
    "each backend are missing: 'descentbench run' measures them in separate processes. The",
    "times of placing and of the first call may not include compiling.",
    "A step takes as long as with 'descentbench run', because the libraries are measured one",
    "after another: the threads of the others rest ('nox -s benchmark-check' compares).",
)
"""Lines above the table: the meaning of the times, and what one process cannot measure."""


def title(function: str, rows: int, features: int, dtype: str, loss: str = SQUARED) -> str:
    """Return the title of a benchmark's group: ``a step, 10⁶ × 1, float32``."""
    return f"{KINDS[function]}, {power(rows)} × {power(features)}, {data_text(dtype, loss)}"


def power(value: int) -> str:
    """Return a number as text: 10⁶ for powers of ten from 10⁴ on, else with commas: 1,234."""
    digits = str(value)
    if value >= 10_000 and digits.rstrip("0") == "1":
        return "10" + str(len(digits) - 1).translate(SUPERSCRIPTS)
    return f"{value:,}"


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def grouped(
    benchmarks: Iterable[dict[str, Any]], failed: Container[str]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return pairs of a group's title and its benchmarks, in the order of the table.

    Each benchmark is named after its backend.

    Parameters
    ----------
    benchmarks : iterable of dict
        Benchmarks as pytest-benchmark passes them to its table.
    failed : container of str
        Cases with a wrong w or an error; their times are left out.
    """
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for benchmark in benchmarks:
        if benchmark["param"] in failed:
            continue
        info = benchmark["extra_info"]
        function = benchmark["name"].partition("[")[0]
        place = [*KINDS.values()].index(KINDS[function])
        key = (
            place,
            info["features"],
            info["rows"],
            info["dtype"],
            info["loss"],
            benchmark["group"],
        )
        groups.setdefault(key, []).append(benchmark | {"name": info["backend"]})
    return [(str(key[-1]), groups[key]) for key in sorted(groups)]
