"""Test comparisons of two runs: which changes are reported, and which runs are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy import stats

from bench.cli import main
from bench.results import statistics
from bench.results import verdict as module
from bench.results.case import Case
from bench.results.record import Measurement, Record
from bench.results.statistics import Sides, shift
from bench.results.verdict import compare, judge, slower_than, undecided
from tests.support.records import COSTS, LAPTOP, SERVER, record

SIZES = [(10_000, 1), (1_000_000, 1), (1_000_000, 32)]


def pair(seed: int, slower: float = 1.0, **more: object) -> tuple[Record, Record]:
    factors = {"torch": slower}
    old = record(sizes=SIZES, seed=2 * seed, **more)  # type: ignore[arg-type]
    new = record(sizes=SIZES, seed=2 * seed + 1, factors=factors, **more)  # type: ignore[arg-type]
    return old, new


@pytest.mark.parametrize("passes", [3, 5])
def test_the_same_code_is_flagged_no_more_often_than_claimed(passes: int) -> None:
    """Check that at most about 5 % of 200 comparisons of equal code report a change."""
    flagged = [
        any(
            c.verdict in ("faster", "slower")
            for c in compare(*pair(s, passes=passes, spread=0.03))
        )
        for s in range(200)
    ]
    assert np.mean(flagged) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_a_tenth_is_found_and_nothing_else() -> None:
    right = 0
    for seed in range(20):
        found = {
            c.case.backend
            for c in compare(*pair(seed, 1.1, passes=5))
            if c.verdict in ("faster", "slower")
        }
        right += found == {"torch"}
    assert right >= 18


def test_the_interval_covers_the_ratio_as_often_as_it_claims() -> None:
    found = [c for s in range(100) for c in compare(*pair(s, 1.3, spread=0.05))]
    covered = [
        c.low <= (1.3 if c.case.backend == "torch" else 1.0) <= c.high
        for c in found
        if c.low is not None and c.high is not None
    ]
    assert 0.93 <= np.mean(covered) <= 0.98


def test_a_noisy_row_can_not_be_told_and_a_steady_one_is_the_same() -> None:
    rows = [Case("numpy", n, 1, "float32") for n in range(1, 9)]
    rng = np.random.default_rng(0)
    spreads = [0.3, *[0.003] * 7]
    pairs = {
        row: Sides(rng.normal(0, s, 5), rng.normal(0, s, 5))
        for row, s in zip(rows, spreads, strict=True)
    }
    verdicts = [c.verdict for c in judge(pairs).values()]
    assert verdicts == ["can't tell", *["same"] * 7]


def test_with_equal_variances_it_is_the_pooled_t_test() -> None:
    """Check that the interval is close to a normal one if all cases have the same variance."""
    rng = np.random.default_rng(1)
    rows = [Case("numpy", n, 1, "float32") for n in range(1, 41)]
    pairs = {row: Sides(rng.normal(0, 0.02, 6), rng.normal(0, 0.02, 6)) for row in rows}
    first, of = judge(pairs)[rows[0]], pairs[rows[0]]
    width = np.log(first.high or 0) - np.log(first.ratio or 0)
    assert np.log(first.ratio or 0) == pytest.approx(of.new.mean() - of.old.mean())
    expected = stats.norm.ppf(0.975) * 0.02 * np.sqrt(2 / 6)
    assert width == pytest.approx(expected, rel=0.15)


def test_a_change_below_two_percent_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = pair(0, 1.015, spread=1e-4)
    assert {c.verdict for c in compare(old, new)} == {"same"}
    monkeypatch.setattr(module, "MATTERS", 0.0)
    assert "slower" in {c.verdict for c in compare(old, new)}


def test_runs_taken_in_turn_are_compared_pass_by_pass() -> None:
    """Check that alternating runs are compared pass by pass.

    Both runs are slow in the same passes; otherwise the change would not be found.
    """
    rng = np.random.default_rng(2)
    rows = [Case("numpy", n, 1, "float32") for n in range(1, 9)]
    pairs = {}
    for row in rows:
        state = rng.choice([0.0, 0.4], 6)
        own = rng.normal(0, 0.01, (2, 6))
        pairs[row] = (state + own[0], state + own[1] + (0.1 if row is rows[0] else 0.0))
    apart = {row: Sides(*pair) for row, pair in pairs.items()}
    assert judge(apart)[rows[0]].verdict == "can't tell"
    paired = {row: Sides(*pair, errors=np.zeros(6)) for row, pair in pairs.items()}
    first, *others = (judge(paired)[row].verdict for row in rows)
    assert first == "slower"
    assert {*others} <= {"same", "can't tell"}

    together = [replace(r, beside="now") for r in pair(0, 1.1, passes=4)]
    records = [replace(r, beside=k) for r, k in zip(together, "ab", strict=True)]
    (a, *_), (b, *_) = compare(*together), compare(*records)
    assert a.ratio == pytest.approx(b.ratio)
    assert a.low != pytest.approx(b.low)


def test_further_passes_are_for_ratios_that_are_not_known() -> None:
    """Check that only cases with an unclear verdict get further passes."""

    def together(**more: object) -> tuple[Record, Record]:
        old, new = (replace(r, beside="now") for r in pair(1, **more))  # type: ignore[arg-type]
        return old, new

    assert undecided(*together(spread=0.002)) == set()
    assert undecided(*together(slower=1.3, spread=0.002)) == set()
    shaky = undecided(*together(spread=0.2))
    assert {row.backend for row in shaky} == set(COSTS)
    old, new = together(spread=0.2)
    assert undecided(old, replace(new, tasks={})) == set()


def rounds(logs: NDArray[np.float64], *, in_turn: bool = True) -> Measurement:
    seconds = tuple(map(float, np.exp(logs)))
    return Measurement("step", "numpy/9x1/float32", seconds, 1, {"in_turn": in_turn})


def test_rounds_in_turn_are_held_against_those_beside_them() -> None:
    """Check that neighbouring rounds are compared, so that slow phases do not matter."""
    slow = np.repeat([0.0, 0.5, 0.0], [4, 6, 4])
    new = slow + 0.1
    new[3] += 0.5
    value, error = shift(rounds(slow), rounds(new))
    assert value == pytest.approx(0.1)
    assert error == pytest.approx(0.0)
    noise = np.random.default_rng(3).normal(0, 0.1, (2000, 2, 14))
    found = np.array([shift(rounds(slow + a), rounds(new + b)) for a, b in noise])
    assert found[:, 0].std() == pytest.approx(np.median(found[:, 1]), rel=0.25)


@pytest.mark.parametrize("in_turn", [False, True])
def test_rounds_without_turns_are_no_pairs(in_turn: bool) -> None:
    """Check that medians are compared if rounds do not alternate or their numbers differ."""
    old = rounds(np.log([1.0, 2.0, 3.0, 4.0, 5.0]), in_turn=in_turn)
    new = rounds(np.log([2.0, 3.0, 9.0] if in_turn else [2.0, 3.0, 1.0, 9.0, 10.0]))
    assert shift(old, new) == (0.0, 0.0)


def spoilt(seed: int, slower: float = 0.0) -> dict[Case, Sides]:
    """Return made-up times of eight cases; about a quarter of the passes is disturbed."""
    rng = np.random.default_rng(seed)
    of = {}
    for k in range(8):
        errors = np.where(rng.random(4) < 0.25, 0.2, 0.015)
        old = rng.normal(0, 0.3, 4)
        off = rng.normal(0, np.hypot(errors, 0.02))
        new = old + off + (slower if k == 0 else 0.0)
        estimated = errors * np.sqrt(rng.chisquare(9, 4) / 9)
        of[Case("numpy", k + 1, 1, "float32")] = Sides(old, new, estimated)
    return of


def changed(of: dict[Case, Sides]) -> set[int]:
    return {r.rows for r, c in judge(of).items() if c.verdict in ("faster", "slower")}


def test_a_spoilt_pass_weighs_little() -> None:
    found = [changed(spoilt(seed, 0.1)) for seed in range(100)]
    assert sum(rows == {1} for rows in found) >= 85
    alike = [
        {r: Sides(s.old, s.new, np.zeros(4)) for r, s in spoilt(k, 0.1).items()}
        for k in range(100)
    ]
    assert sum(changed(of) == {1} for of in alike) <= 50


def test_weights_cry_no_wolf() -> None:
    alarms = sum(bool(changed(spoilt(seed))) for seed in range(400))
    assert alarms <= 400 * (0.05 + 2 * np.sqrt(0.05 * 0.95 / 400))


def resampled(of: Record, factors: Sequence[float]) -> Record:
    """Return the record with new times: the first time of each pass × each factor."""
    tasks = {
        name: replace(
            outcome,
            measurements=tuple(
                replace(m, seconds=tuple(factor * m.seconds[0] for factor in factors))
                for m in outcome.measurements
            ),
        )
        for name, outcome in of.tasks.items()
    }
    return replace(of, tasks=tasks)


ROUGH = (0.8, 0.8, 0.8, 1.0, 1.2, 1.2, 1.2)


@pytest.mark.parametrize(
    ("slower", "old", "new", "in_turn", "verdict"),
    [
        (1.15, [1] * 7, [1] * 7, False, "slower"),
        (1.15, ROUGH, [1] * 7, False, "can't tell"),
        (1.15, [1] * 7, ROUGH, False, "can't tell"),
        (0.85, [1] * 7, ROUGH, False, "can't tell"),
        (1.30, ROUGH, ROUGH, False, "slower"),
        (0.70, ROUGH, ROUGH, False, "faster"),
        (1.15, ROUGH, ROUGH, True, "slower"),
        (3.00, [1], [1] * 7, False, "can't tell"),
    ],
)
def test_a_change_within_what_is_unstable_can_not_be_told(
    slower: float,
    old: Sequence[float],
    new: Sequence[float],
    in_turn: bool,
    verdict: str,
) -> None:
    """Check that there is no verdict if samples differ by ±20 % although medians are equal."""
    records = [
        replace(resampled(r, samples), beside="now" if in_turn else "")
        for r, samples in zip(pair(0, slower, spread=1e-4), (old, new), strict=True)
    ]
    found = {c.case.backend: c for c in compare(*records)}
    assert found["torch"].verdict == verdict
    steady = old == new == [1] * 7
    assert found["numpy"].verdict == ("same" if steady or in_turn else "can't tell")
    if verdict == "can't tell":
        what = "(few samples)" if len(old) == 1 else "±20%"
        assert found["torch"].reason == f"unstable {what}"


def test_one_pass_tells_nothing() -> None:
    found = compare(*pair(0, 3.0, passes=1))
    assert {c.verdict for c in found} == {"can't tell"}
    assert all("needs 2 passes" in c.reason for c in found)


def test_holm_is_holm() -> None:
    p = np.array([0.04, 0.01, 0.03, 0.5])
    # Calculated by hand: 4·0.01, 3·0.03, 2·0.04 < 0.09, and 0.5.
    assert statistics.holm(p) == pytest.approx([0.09, 0.04, 0.09, 0.5])


def test_what_fails_now_is_worse_than_slower() -> None:
    old, _ = pair(0)
    new = record(sizes=SIZES, seed=5, failed={"torch/10000x1/float32": "w is wrong"})
    (failed,) = [c for c in compare(old, new) if c.verdict == "failed"]
    assert failed.reason == "w is wrong"
    assert slower_than([failed], 0.1) == [failed]


# the command


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, result in {
        "run-1": record(sizes=SIZES, seed=0, name="before", revision="1" * 40, passes=5),
        "run-2": record(
            sizes=SIZES,
            seed=1,
            name="after",
            revision="2" * 40 + "-dirty",
            created="2026-11-21T10:00:00.000+00:00",
            factors={"torch": 1.3},
            passes=5,
        ),
        "run-3": record(SERVER, sizes=SIZES, name="elsewhere"),
        "run-4": record(sizes=SIZES, dtype="float64", name="double"),
        "run-5": record(sizes=[(7, 1)], name="others"),
    }.items():
        result.save(tmp_path / f"{name}.json")
    return tmp_path


def call(store: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["compare", "--store", str(store), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "names", [("before", "after"), ("1111111", "2222222"), ("run-1", "run-2")]
)
def test_results_are_found_by_name_revision_and_file(
    store: Path, names: tuple[str, str]
) -> None:
    code, out, _ = call(store, *names)
    assert code == 0
    assert out.count("▲ slower") == 3
    assert all("torch" in line for line in out.splitlines() if "slower" in line and "▲" in line)
    assert "3 slower" in out
    assert max(map(len, out.splitlines())) <= 80


def test_fail_slower_is_for_ci(store: Path) -> None:
    assert call(store, "before", "after", "--fail-slower", "10%")[0] == 1
    assert call(store, "before", "after", "--fail-slower", "0.5")[0] == 0
    assert call(store, "after", "before", "--fail-slower", "10%")[0] == 0


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("elsewhere", "different machines"),
        ("double", "different dtypes, float32 and float64"),
        ("others", "no case in common"),
        ("before", "the same result"),
        ("nothing", "no result 'nothing'"),
    ],
)
def test_unlike_results_are_refused_in_a_line(store: Path, new: str, says: str) -> None:
    code, out, err = call(store, "before", new)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_the_table_says_why_it_cannot_be_told(tmp_path: Path) -> None:
    for name, samples in {"old": ROUGH, "new": [1] * 7}.items():
        resampled(record(sizes=[(100, 1)], name=name), samples).save(
            tmp_path / f"run-{name}.json"
        )
    code, out, _ = call(tmp_path, "old", "new")
    assert code == 0
    assert "\nunstable ±20%: all\n" in out


def test_force_compares_other_machines(store: Path) -> None:
    code, out, _ = call(store, "before", "elsewhere", "--force")
    assert code == 0
    assert "different machines" in out


def test_a_record_of_another_schema_is_refused(store: Path) -> None:
    path = store / "old.json"
    path.write_text(json.dumps({"schema": -1}))
    code, _, err = call(store, str(path), "after")
    assert code == 2
    assert "schema -1" in err


@pytest.mark.parametrize("bad", ["x%", "-1%", "nan"])
def test_a_share_is_a_share(store: Path, bad: str) -> None:
    code, _, err = call(store, "before", "after", "--fail-slower", bad)
    assert code == 2
    assert "not a share" in err


def test_the_formats_say_the_same(store: Path) -> None:
    document = json.loads(call(store, "before", "after", "--json")[1])
    rows = document["comparisons"]
    assert len(rows) == len(COSTS) * len(SIZES)
    assert document["old"]["name"] == "before"
    slow = [r for r in rows if r["verdict"] == "slower"]
    assert {r["backend"] for r in slow} == {"torch"}
    assert all(r["ratio"] == pytest.approx(1.3, abs=0.1) for r in slow)
    csv_lines = call(store, "before", "after", "--format", "csv")[1].splitlines()
    assert len(csv_lines) == len(rows) + 1
    assert sum(",slower," in line for line in csv_lines) == 3
    markdown = call(store, "before", "after", "--format", "markdown")[1]
    assert markdown.count("▲ slower") == 3
    assert markdown.startswith("| backend | verdict |")


def test_changed_versions_are_named(tmp_path: Path) -> None:
    newer = LAPTOP | {"versions": {"numpy": "2.5.0", "torch": "2.13.0"}}
    record(sizes=SIZES, name="old").save(tmp_path / "run-1.json")
    record(newer, sizes=SIZES, name="new", seed=1).save(tmp_path / "run-2.json")
    assert "numpy 2.4.0 → 2.5.0" in call(tmp_path, "old", "new")[1]


def test_pytest_benchmark_compares_our_files(store: Path) -> None:
    program = [sys.executable, "-c", "from pytest_benchmark.cli import main; main()"]
    done = subprocess.run(
        [*program, "compare", str(store / "run-1.json"), str(store / "run-2.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch/10000x1/float32" in done.stdout
    assert "Median" in done.stdout
