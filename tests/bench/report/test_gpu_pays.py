"""Test the tables and the sentence about when a GPU is faster than the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import gpu, results_page
from bench.report.sources import Source, sources
from bench.results.record import Record
from bench.results.saved import Saved
from tests.support.records import COSTS, LAPTOP, SERVER, record

SIZES = [(100, 1), (1_000_000, 1), (10_000_000, 1), (100_000_000, 1)]

GPU_COSTS = {
    "torch:analytic@cuda:0": (1.0, 0.5, 0.05, 5e-6, 3e-13),
    "jax:loop@cuda:0": (0.5, 0.4, 0.3, 4e-6, 3.2e-13),
}

SLOW = {"torch:analytic@cuda:0": (1.0, 0.5, 0.05, 1.0, 1e-6)}


def machine_of(costs: dict[str, tuple[float, ...]]) -> Record:
    device = {"name": "Made-up GPU", "memory_bytes": 80 * 10**9, "driver": "1"}
    return record(SERVER | {"gpus": [device]}, sizes=SIZES, costs=COSTS | costs)


def found(*records: Record) -> list[Saved]:
    return [Saved(Path(f"run-{i}.json"), one) for i, one in enumerate(records)]


def source() -> Source:
    return sources(found(machine_of(GPU_COSTS)))[0]


def test_the_gpu_is_faster_from_these_iterations_on_and_not_before() -> None:
    (models,) = source().models.values()
    loops = [m for m in models if "gram" not in m.backend]
    cpu = [m for m in loops if "@" not in m.backend]
    on_gpu = [m for m in loops if "@" in m.backend]
    listed = list(gpu.pays(source()))
    assert [p.rows for p in listed] == [rows for rows, _ in SIZES]
    for p in listed:
        if p.iterations is None:
            p = replace(p, iterations=1e9)
            assert min(m.total_s(p.rows, 1e9) for m in on_gpu) >= min(
                m.total_s(p.rows, 1e9) for m in cpu
            )
            continue
        assert p.gpu in GPU_COSTS
        assert "gram" not in p.cpu
        for factor, faster in ((1.01, True), (0.99, False)):
            k = factor * p.iterations
            totals = [min(m.total_s(p.rows, k) for m in side) for side in (on_gpu, cpu)]
            assert (totals[0] < totals[1]) is faster or p.iterations == 1
    fewest = [p.iterations for p in listed[1:]]
    assert fewest == sorted(fewest, reverse=True)  # type: ignore[type-var]


def test_the_section_has_a_line_for_each_size() -> None:
    (text,) = gpu.section([source()])
    assert text.startswith("## When a GPU pays off\n\nThe number of iterations from which")
    assert "Made-up GPU:" in text
    lines = [line for line in text.splitlines() if line.startswith("| 1")]
    assert [line.split("|")[1].strip() for line in lines] == [
        *("100 × 1", "1e6 × 1", "1e7 × 1", "1e8 × 1")
    ]
    assert "@cuda:0` | `n" in lines[-1]


def test_the_sentence_names_sizes_that_pay_within_a_thousand_iterations() -> None:
    said = gpu.sentence([source()])
    at = {p.rows: p.iterations for p in gpu.pays(source())}
    assert said.startswith("Made-up GPU is faster than its machine's CPU, transfer and first")
    for rows, iterations in at.items():
        named = f"{rows:.0e} × 1 from".replace("e+0", "e") in said
        assert named == (iterations is not None and iterations <= 1000)
    assert "\n" not in said


def test_a_gpu_that_never_pays() -> None:
    slow = sources(found(machine_of(SLOW)))
    assert gpu.sentence(slow).startswith(
        "Made-up GPU: up to 1,000 iterations the CPU is faster at every measured size"
    )
    (text,) = gpu.section(slow)
    assert text.count("| never |") == len(SIZES)


def test_without_setups_on_a_gpu_nothing_is_said() -> None:
    laptop = sources(found(record(LAPTOP, sizes=SIZES)))
    assert gpu.section(laptop) == []
    assert gpu.sentence(laptop) == ""


def test_the_pages_show_it_and_keep_the_overview_of_a_cpu() -> None:
    """Check that records of picks have no table, and that README's table shows only the CPU."""
    laptop = record(LAPTOP, sizes=SIZES, created="2026-11-01T10:00:00.000+00:00")
    server = machine_of(GPU_COSTS)
    picked = Saved(Path("pick-1.json"), replace(server, name="a pick"))
    all_of = [*found(server, laptop), picked]
    readme = results_page.readme_tables(all_of)
    assert "Made-up Laptop" in readme
    assert "@cuda" not in readme
    assert readme.rstrip().endswith("([docs/results.md](docs/results.md)).")
    page = results_page.tables(all_of, results_page.newest_whole(all_of), [])
    assert page.count("## When a GPU pays off") == 1
    assert "a pick" not in page
    with pytest.raises(results_page.PageError):
        results_page.newest_whole(found(server))
