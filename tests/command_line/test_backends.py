from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backends import catalogue, names
from backends.names import Library
from bench.cli import main
from tests.support.command import HIDDEN

ABSENT = Library(
    "absent",
    "backends.absent",
    {"": "Plain", "quick": "Quick"},
    needs="a_library_that_is_not_installed",
    install="pip install --index-url https://example.org/wheels 'absent[quick]'",
)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let only NumPy and a missing library be known."""
    monkeypatch.setattr(names, "BUILT_IN", names.BUILT_IN[:1])
    names.register(ABSENT)
    yield
    names.unregister(ABSENT.name)


def descentbench(*args: str) -> Result:
    result = CliRunner().invoke(main, ["backends", *args])
    assert result.exit_code == 0, result.output
    return result


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(descentbench("--json").stdout)
    return found


def test_json_has_the_agreed_fields_for_every_backend() -> None:
    found = rows()
    agreed = ["backend", "library", "technique", "device", "available", "reason", "note"]
    assert all(list(row) == agreed for row in found)
    assert [row["backend"] for row in found] == [str(e.name) for e in catalogue.entries()]
    assert {row["library"] for row in found} == set(names.libraries())
    for row in found:
        name = names.Name(row["library"], row["technique"], row["device"])
        assert str(name) == row["backend"]
        assert row["available"] is (row["reason"] is None)


@pytest.mark.usefixtures("absent")
def test_a_missing_library_says_how_to_install_it() -> None:
    missing = [row for row in rows() if row["library"] == "absent"]
    assert [row["technique"] for row in missing] == ["", "quick"]
    for row in missing:
        assert row["available"] is False
        assert ABSENT.install in row["reason"]


@pytest.mark.usefixtures("absent")
def test_table_shows_every_backend_and_every_reason_in_80_columns() -> None:
    lines = descentbench().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    heading = next(line for line in lines if "reason" in line)
    last_column = " ".join(line[heading.index("reason") :].strip() for line in lines)
    for entry in catalogue.entries():
        assert str(entry.name) in " ".join(lines).split()
        assert entry.reason in last_column


@pytest.mark.usefixtures("absent")
def test_table_says_what_can_run() -> None:
    lines = [line.split() for line in descentbench().stdout.splitlines()]
    shown = {words[0]: words[1:3] for words in lines if len(words) >= 3}
    assert shown["numpy"] == ["cpu", "yes"]
    assert shown["absent:quick"] == ["cpu", "no"]


def test_help_has_an_example() -> None:
    assert "descentbench backends --json" in descentbench("--help").stdout


@pytest.mark.parametrize(
    ("imports", "unwanted"),
    [
        ("backends, bench, bench.cli", {*HIDDEN}),
        ("bench.cli, bench.host.threads, bench.commands.backends", {*HIDDEN, "numpy"}),
    ],
)
def test_importing_loads_no_array_library(imports: str, unwanted: set[str]) -> None:
    code = f"import {imports}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not unwanted & set(done.stdout.split())
