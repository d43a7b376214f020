"""``descentbench fit`` in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from bench.cli import main


def fit(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


def fit_json(*arguments: object) -> dict[str, Any]:
    result = fit(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document
