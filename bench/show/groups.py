"""Group the results that ``pytest --benchmark-only`` prints, by kind of benchmark and size."""

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
"""The keys are benchmark functions, and the values are titles of groups in the printed table.

The groups are printed in this order. A read (`test_read`) is in the same group as a step over
the same data, so that their times can be compared.
"""

MISSING = (
    "A step's time is the time of a round ÷ its number of steps. OPS: steps per second.",
    "All libraries share this process, so import times, cold compile times and the memory of",
    "each backend are missing: 'descentbench run' measures them in separate processes. The",
    "times of placing and of the first call may not include compiling.",
    "A step takes as long as with 'descentbench run', because the libraries are measured one",
    "after another: the threads of the others rest ('nox -s benchmark-check' compares).",
)
"""Lines above the table. They say what the times mean, and which times are missing."""


def title(function: str, rows: int, features: int, dtype: str, loss: str = SQUARED) -> str:
    """Return the title of a group of benchmarks, such as "a step, 10⁶ × 1, float32"."""
    return f"{KINDS[function]}, {power(rows)} × {power(features)}, {data_text(dtype, loss)}"


def power(value: int) -> str:
    """Return a number as text: 1234 becomes ``1,234``, and 1000000 becomes ``10⁶``."""
    digits = str(value)
    if value >= 10_000 and digits.rstrip("0") == "1":
        return "10" + str(len(digits) - 1).translate(SUPERSCRIPTS)
    return f"{value:,}"


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def grouped(
    benchmarks: Iterable[dict[str, Any]], failed: Container[str]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the groups of the table in order: pairs of a title and a list of benchmarks.

    The benchmarks of a group are renamed: the new name is the name of the backend.

    Parameters
    ----------
    benchmarks : iterable of dict
        Benchmarks as pytest-benchmark passes them to its table.
    failed : container of str
        Cases with a wrong w or an error; their benchmarks are left out.
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
