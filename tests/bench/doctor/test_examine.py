"""Test the output of ``doctor``."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.doctor import examine
from bench.doctor.finding import Finding
from bench.host import threads


def test_the_page_counts_what_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Finding("torch", "does not import", "bad", "pip install torch"),
        Finding("swap", "1 kB are swapped out", "note", "swapoff -a"),
        Finding("memory", "all is free"),
    ]
    monkeypatch.setattr(examine, "examine", lambda store: found)
    monkeypatch.setattr(threads, "apply", lambda: 1)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *("✗ torch: does not import", "    pip install torch"),
        *("· swap: 1 kB are swapped out", "    swapoff -a"),
        *("✓ memory: all is free", ""),
        "1 to correct (✗), 1 to note (·)",
    ]
