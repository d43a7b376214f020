"""Test the table in the terminal: readable numbers, and lines that fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backends import names
from backends.names import Library
from bench.results.summary import Interval, Result
from bench.show.table import results_markdown, results_table
from bench.show.text import byte_count, count, seconds
from tests.support.measurements import RESULT

WIDEST = replace(
    RESULT,
    backend="torch:analytic",
    relative_error=1.23e-17,
    place_s=0.999,
    first_call_s=0.999,
    new_shape_s=0.999,
    step_s=Interval(0.000_999, 0.000_001, 0.001_999),
    bandwidth_fraction=1.23,
    peak_bytes=999_000_000,
)

WIDEST_FIGURES = "999 ms 999 ms 999 ms 999 µs ±100% – 0.0008 123% 999 MB 1e-17"

FAILED = replace(RESULT, verified=False, reason="w[0] = 3 but the reference is 2", step_s=None)


def lines(*results: Result) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(results_table(list(results)))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 ns"),
        (1.5e-10, "0.15 ns"),
        (1.234e-9, "1.23 ns"),
        (999.4e-9, "999 ns"),
        (999.7e-9, "1 µs"),
        (42e-6, "42 µs"),
        (0.001, "1 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.0, "1 s"),
        (12.345, "12.3 s"),
        (999.7, "1000 s"),
        (12345.6, "12346 s"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0994, "99 ms"),
        (0.0997, "100 ms"),
        (0.123456, "123 ms"),
        (0.996, "996 ms"),
        (0.9996, "1 s"),
        (1.26e-6, "1.3 µs"),
    ],
)
def test_seconds_to_two_digits(value: float, text: str) -> None:
    assert seconds(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (800, "800 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_400, "999 kB"),
        (999_700, "1 MB"),
        (52_428_800, "52.4 MB"),
        (1.5e9, "1.5 GB"),
        (999.7e9, "1 TB"),
        (1.2345e13, "12.3 TB"),
    ],
)
def test_byte_count(value: float | None, text: str) -> None:
    assert byte_count(value) == text


def test_memory_close_to_a_hundred_megabytes_is_no_power_of_ten() -> None:
    assert byte_count(99_700_000, 2) == "100 MB"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (100, "100"),
        (9999, "9,999"),
        (10_000, "1e4"),
        (12_345, "12,345"),
        (1_000_000, "1e6"),
        (25_000_000, "2.5e7"),
        (25_000, "25,000"),
        (2_510_000, "2,510,000"),
        (10**10, "1e10"),
        (10**8 + 1, "100,000,001"),
    ],
)
def test_count(value: int, text: str) -> None:
    assert count(value) == text


@given(st.floats(1e-9, 1e6), st.sampled_from([2, 3]))
def test_a_time_reads_as_what_it_is(value: float, digits: int) -> None:
    number, unit = seconds(value, digits).split()
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert "e" not in number
    assert float(number) * scale == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    assert float(number) < 1000 or unit == "s"


@given(st.integers(0, 10**15))
def test_a_count_loses_nothing(value: int) -> None:
    assert float(count(value).replace(",", "")) == value


def test_no_figure_of_the_widest_line_is_cut() -> None:
    table = lines(WIDEST, replace(WIDEST, backend="numba:parallel"))
    assert max(map(len, table)) <= 80
    (line,) = [line for line in table if line.startswith("torch:analytic")]
    assert line.split() == ["torch:analytic", *WIDEST_FIGURES.split()]


@pytest.fixture
def long_name() -> Iterator[str]:
    technique = "and-a-technique-with-another"
    library = Library(
        "a-library-with-a-long-name", "nowhere", {"": "Plain", technique: "Other"}
    )
    names.register(library)
    yield f"{library.name}:{technique}@an-accelerator-by-some-vendor:12"
    names.unregister(library.name)


def test_long_names_give_way_and_figures_do_not(long_name: str) -> None:
    table = lines(
        WIDEST, replace(WIDEST, backend=long_name), replace(FAILED, backend=long_name)
    )
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(table)
    figures = WIDEST_FIGURES.split()
    assert sum(line.split()[-len(figures) :] == figures for line in table) == 2


def test_an_enormous_ratio_is_written_out() -> None:
    fast = replace(RESULT, backend="numpy:blocked", step_s=Interval(8e-6 / 1234, None, None))
    (line,) = [line for line in lines(RESULT, fast) if line.startswith("numpy:blocked")]
    assert line.split()[9:11] == ["–", "1234"]


def test_one_table_a_size_in_the_order_given() -> None:
    large = replace(RESULT, rows=1_000_000, bytes_per_step=8_000_000)
    titles = [line for line in lines(RESULT, FAILED, large) if " rows" in line]
    assert titles == [
        "100 rows, float32: 800 B a step",
        "1e6 rows, float32: 8 MB a step",
    ]
    wide = replace(RESULT, features=32)
    assert lines(wide)[0].startswith("100 rows × 32 features, float32")


def test_a_failure_says_why_below_the_table() -> None:
    table = lines(RESULT, replace(FAILED, backend="numpy:blocked"))
    assert ["numpy:blocked", "failed"] in [line.split() for line in table]
    assert "failed: numpy:blocked: w[0] = 3 but the reference is 2" in table


def test_what_was_not_measured_is_a_dash() -> None:
    bare = replace(
        *(RESULT,),
        first_call_s=None,
        new_shape_s=None,
        place_s=None,
        peak_bytes=None,
        relative_error=None,
    )
    (line,) = [line for line in lines(bare) if line.startswith("numpy")]
    assert " ".join(line.split()) == "numpy – – – 8 µs ±10% 1 0.1 – – –"


def test_what_is_unstable_is_named_below() -> None:
    """Check the line that names unstable times: from ±10 % on, or with too few samples."""
    steady = replace(RESULT, step_s=Interval(10.0, 9.1, 10.9))
    wide = replace(RESULT, backend="numba", step_s=Interval(10.0, 8.0, 12.6))
    few = replace(RESULT, backend="torch", step_s=Interval(10.0, None, None))
    assert (steady.unstable, wide.unstable, few.unstable) == (False, True, True)
    assert wide.as_dict()["unstable"] is True
    assert "unstable: numba ±23%, torch (few samples)" in lines(steady, wide, few)
    assert "unstable: numba ±23%, torch (few samples)" in results_markdown([steady, wide, few])
    assert "unstable" not in "".join([*lines(steady), results_markdown([steady])])
    assert not FAILED.unstable
