"""Test that the gallery names each recorded machine, its code revision and date."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.report.gallery import main
from tests.support.records import LAPTOP, SERVER, record

ROOT = Path(__file__).parents[3]


def test_every_machine_is_there(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    store = tmp_path / "results"
    (store / "server").mkdir(parents=True)
    sizes = [(100, 1), (1_000_000, 1)]
    record(LAPTOP, sizes=sizes, revision="abcdef0123456789").save(store / "run-1.json")
    other = {"revision": "fedcba", "created": "2026-11-19T10:00:00.000+00:00"}
    record(SERVER, sizes=sizes, **other).save(store / "server" / "run-2.json")
    asked = ["--results", str(store), "--folder", str(tmp_path / "gallery")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gallery" / "README.md").read_text(encoding="utf-8")
    for words in ("## Made-up Laptop CPU", "## Made-up Server CPU", "fedcba", "2026-11-19"):
        assert words in text
    assert "revision abcdef012345." in text
    assert "| 1e6 × 1 | numba:parallel |" in text
    page = (tmp_path / "gallery" / "index.html").read_text(encoding="utf-8")
    assert "Made-up Server CPU" in page


def test_nothing_recorded_is_said_in_a_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--results", str(tmp_path), "--folder", str(tmp_path)])
    assert done.exit_code == 2  # bad input
    assert "has no results" in done.output


def test_the_gallery_in_the_documentation_names_all_recorded_machines() -> None:
    text = (ROOT / "docs" / "gallery" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "results").rglob("*.json"):
        revision = path.read_text(encoding="utf-8").split('"revision": "')[1].split('"')[0]
        assert revision[:12] in text
