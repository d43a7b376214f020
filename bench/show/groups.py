"""Groups of `pytest --benchmark-only`: one for each kind of benchmark and size."""

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
"""Title of a benchmark function's groups, in the order of the table.

The read of a step's bytes is in one group with the steps whose speed it bounds.
"""

MISSING = (
    "A step's time is a round's time ÷ its steps; OPS is steps per second.",
    "All libraries share this process, so import times, cold compile times and each",
    "backend's own memory are missing here: 'descentbench run' measures them in a process",
    "of their own. Placing and the first call may find code that is compiled already.",
    "The steps take as long as with 'descentbench run': libraries are measured one after the",
    "other, so that the threads of one rest meanwhile ('nox -s benchmark-check' compares).",
)
"""Lines above the table: the meaning of its times, and quantities that one process cannot
measure."""


def title(function: str, rows: int, features: int, dtype: str, loss: str = SQUARED) -> str:
    """Return the name of a benchmark's group: ``a step, 10⁶ × 1, float32``."""
    return f"{KINDS[function]}, {power(rows)} × {power(features)}, {data_text(dtype, loss)}"


def power(value: int) -> str:
    """Return a number as text: powers of ten from 10⁴ on as 10⁶, others with commas, 1,234."""
    digits = str(value)
    if value >= 10_000 and digits.rstrip("0") == "1":
        return "10" + str(len(digits) - 1).translate(SUPERSCRIPTS)
    return f"{value:,}"


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def grouped(
    benchmarks: Iterable[dict[str, Any]], failed: Container[str]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the groups in the table's order; lines are named after the backend.

    Parameters
    ----------
    benchmarks : iterable of dict
        Benchmarks in the form that pytest-benchmark passes to its table.
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
