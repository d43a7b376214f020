"""Test cases, records, comparisons and tables with several losses."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import BackendError, ProblemError
from backends.losses import LOSSES
from bench.results.case import MOST, SQUARED, Case, check_case
from bench.results.summary import summarise
from bench.results.verdict import compare, differences
from bench.show.formats import results_csv
from bench.show.table import results_markdown
from tests.support.measurements import outcome, record, step
from tests.support.records import LAPTOP

CASES = st.builds(
    Case,
    st.sampled_from(["numpy", "numba:parallel", "torch@cuda:0", "read", "c"]),
    st.integers(1, MOST),
    st.integers(1, MOST),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([*LOSSES, "pseudo_huber-1a2b3c4d"]),
)

OLD, OTHER = "numpy/1000x1/float32", "numpy/1000x1/float32/log_loss"


@given(CASES)
def test_a_case_is_read_as_it_was_written(case: Case) -> None:
    assert Case.parse(str(case)) == case
    assert str(case).count("/") == (2 if case.loss == SQUARED else 3)
    check_case(str(case))
    assert Case.parse(str(case.read)).data == case.data


def test_a_case_of_an_older_record_is_of_squared_error() -> None:
    assert Case.parse(OLD) == Case("numpy", 1000, 1, "float32", "squared_error")


@pytest.mark.parametrize("text", ["numpy/1x1/float32/", "numpy/1x1/float32/a b", "numpy/1x1"])
def test_what_is_no_loss_is_no_case(text: str) -> None:
    with pytest.raises((BackendError, ProblemError)):
        Case.parse(text)


@pytest.mark.parametrize("text", ["numpy/1x1/float32/a/b", "numpy/1x1/float32/../x.py:f"])
def test_a_case_names_no_file(text: str) -> None:
    with pytest.raises((BackendError, ProblemError)):
        check_case(text)


def test_a_table_a_loss_and_a_column_in_csv() -> None:
    results = summarise(record([OLD, OTHER], outcome(step(OLD, 1.0), step(OTHER, 2.0))))
    assert [r.loss for r in results] == ["log_loss", "squared_error"]
    assert [r.as_dict()["loss"] for r in results] == ["log_loss", "squared_error"]
    rows = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert [row["loss"] for row in rows] == ["log_loss", "squared_error"]
    text = results_markdown(results)
    assert "**1,000 rows, float32, log_loss: 8 kB a step**" in text
    assert "**1,000 rows, float32: 8 kB a step**" in text


def test_an_old_result_is_not_compared_with_another_loss() -> None:
    """Check that times without a loss count as squared error, and never as log_loss."""
    old = record([OLD], *[outcome(step(OLD, 1.0, 1.1)) for _ in range(3)])
    new = record([OLD, OTHER], *[outcome(step(OTHER, 9.0, 9.1), step(OLD, 1.0)) for _ in "123"])
    (found,) = compare(old, new)
    assert found.case == Case.parse(OLD)
    assert found.verdict != "slower"
    assert found.as_dict()["loss"] == "squared_error"
    one, other = (
        replace(r, machine=LAPTOP) for r in (old, record([OTHER], outcome(step(OTHER, 1.0))))
    )
    text = "the results are of different losses, squared_error and log_loss"
    assert text in differences(one, other)


def test_a_record_of_one_loss_keeps_what_depends_on_none() -> None:
    imported = replace(step(OTHER, 1.0), kind="import")
    baseline = replace(step("read/1000x1/float32/log_loss", 1.0), kind="read")
    whole = record([OLD, OTHER], outcome(step(OLD, 1.0), step(OTHER, 2.0), imported, baseline))
    kept = whole.of_loss("squared_error")
    assert kept.request["rows"] == [OLD]
    (task,) = kept.tasks.values()
    assert [m.kind for m in task.measurements] == ["step", "import", "read"]
    alone = whole.of_loss("squared_error")
    assert alone.of_loss("squared_error") is alone
