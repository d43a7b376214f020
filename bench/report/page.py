"""Assemble the page of the report: one file that works without network."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from backends.errors import DescentbenchError
from bench.host.files import StoreError, write_atomically
from bench.host.optional import need
from bench.report.content import content
from bench.report.findings import bests, doubts, other_losses, picture, sentences
from bench.report.sources import Source

HERE = files("bench.report")

PURPOSE = "a report"

SCRIPTS = (
    *("calculator.js", "words.js", "plot.js", "charts.js", "maps.js", "ask.js", "table.js"),
    "start.js",
)
"""Scripts of the page. A script uses only functions of the scripts before it."""


class ReportError(DescentbenchError):
    """There are no results to show, or the page cannot be written."""


def check(path: Path) -> None:
    """Check, before anything is measured, that `write` can write the page to this path.

    Raises
    ------
    MissingLibraryError
        Jinja2 is not installed.
    ReportError
        The path is a folder, or no file can be written there.
    """
    need("jinja2", PURPOSE)
    folder = next(p for p in path.absolute().parents if p.exists())  # write makes the rest
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ReportError(f"cannot write {path}: give a file in a folder that can be written")


def write(path: Path, found: Sequence[Source]) -> None:
    """Write a report about the results of the sources in `found` to the file `path`.

    The file appears only when it is complete.

    Raises
    ------
    MissingLibraryError
        Jinja2 is not installed.
    ReportError
        There are no timings, or the page cannot be written.
    """
    if not any(source.results for source in found):
        raise ReportError("these results have no timings; measure some with 'descentbench run'")
    need("jinja2", PURPOSE)  # before the content, which takes seconds
    try:
        write_atomically(path, render(found))
    except StoreError as error:
        raise ReportError(str(error)) from None


def render(found: Sequence[Source]) -> str:
    """Return the report about the results in `found` as an HTML page."""
    need("jinja2", PURPOSE)
    from jinja2 import Environment

    data = content(found)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html.j2")).render(
        data=data,
        firsts=[_first(source) for source in found],
        json=script_json(data),
        css=_part("page.css"),
        scripts=[_part(name) for name in SCRIPTS],
    )


def _first(source: Source) -> dict[str, Any]:
    """Return the content of the page's first screen for one machine."""
    found = bests(source)
    named, count = doubts(source)
    return {
        "sentences": [*sentences(found), *other_losses(source)],
        "picture": picture(found),
        "doubts": named,
        "more_doubts": count - len(named),
    }


def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    """Return JSON for a script element; ``<``, ``>`` and ``&`` are escaped."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
