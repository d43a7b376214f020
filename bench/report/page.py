"""Put the page together: one file that asks no network for anything."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from backends.errors import DescentbenchError
from bench.host.files import StoreError, write_atomically
from bench.host.optional import need
from bench.report.content import content
from bench.report.sources import Source

HERE = files("bench.report")

PURPOSE = "a report"


class ReportError(DescentbenchError):
    """There is nothing to show, or the page cannot be written there."""


def check(path: Path) -> None:
    """Raise now what would otherwise be found out after measuring.

    Raises
    ------
    MissingLibraryError
        No jinja2 or plotly.
    ReportError
        Not in a folder that can be written, or made.
    """
    _need_libraries()
    folder = next(p for p in path.absolute().parents if p.exists())  # the rest will be made
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ReportError(f"cannot write {path}: not a file in a folder that can be written")


def _need_libraries() -> None:
    need("jinja2", PURPOSE)
    _plotly()


def write(path: Path, found: Sequence[Source]) -> None:
    """Write the page of these sources, atomically.

    Raises
    ------
    MissingLibraryError
        No jinja2 or plotly.
    ReportError
    """
    if not any(source.results for source in found):
        raise ReportError("these results hold no timings: 'descentbench run' takes some")
    _need_libraries()  # what the page shows takes seconds to compute
    try:
        write_atomically(path, render(content(found)))
    except StoreError as error:
        raise ReportError(str(error)) from None


def render(data: dict[str, Any]) -> str:
    """Return the page that shows `data`, as `content` gives it."""
    need("jinja2", PURPOSE)
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html.j2")).render(
        data=data,
        json=script_json(data),
        plotly=_plotly(),
        css=_part("page.css"),
        model=_part("calculator.js"),
        script=_part("charts.js"),
    )


def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    """Write JSON that may stand in a script element: nothing in it ends the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@lru_cache(maxsize=1)
def _plotly() -> str:
    """Return plotly's script, gzipped and in base64: a third of its size, and still offline."""
    need("plotly", PURPOSE)
    source = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 9, mtime=0)).decode("ascii")
