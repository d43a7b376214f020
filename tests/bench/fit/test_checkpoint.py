"""Test that an edited or damaged checkpoint is an error in one line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.fit.checkpoint import FORMAT, Checkpoint, CheckpointError

KEPT = Checkpoint(20, (1.5,), 0.001, "synthetic", 100, "float32")


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    KEPT.save(tmp_path / "w.json")
    assert Checkpoint.load(tmp_path / "w.json") == KEPT


@pytest.mark.parametrize(
    "other",
    [
        *({"w": [10**400]}, {"w": [float("nan")]}, {"w": 3}, {"w": ["a"]}),
        *({"steps": float("inf")}, {"steps": -1}, {"steps": None}, {"format": 7}, {"more": 1}),
    ],
    ids=lambda other: str(other)[:16],
)
def test_another_value_is_refused_in_a_line(tmp_path: Path, other: dict[str, object]) -> None:
    """Fixed bug: numbers too large for a float or an int caused tracebacks."""
    path = tmp_path / "w.json"
    path.write_text(json.dumps(asdict(KEPT) | {"format": FORMAT} | other))
    with pytest.raises(CheckpointError) as refused:
        Checkpoint.load(path)
    assert str(refused.value).startswith(str(path))
    assert len(str(refused.value).splitlines()) == 1
