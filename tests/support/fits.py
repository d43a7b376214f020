"""Run ``descentbench fit`` in the process of the tests."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from bench.cli import main


def fit(*arguments: object) -> Result:
    """Run ``descentbench fit`` with these arguments; return exit code and output."""
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


def fit_json(*arguments: object) -> dict[str, Any]:
    """Return the document of ``descentbench fit --json`` with these arguments."""
    result = fit(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document
