"""Choose the look of a backend in all figures: colour by library, mark and dash by technique.

Marks and dashes distinguish the techniques of a library, also without colours. The page and the
plots use the same marks and dashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backends.names import Name

COLOURS = {"numpy": "#0072B2", "numba": "#D55E00", "torch": "#CC79A7", "jax": "#009E73"}
"""Colour of each library, from Okabe and Ito's palette for colour-blind readers."""

OTHERS = ("#B97F00", "#3F97CF", "#8C6D31", "#7F7F7F")
"""Colours for all other libraries, such as Dask and third-party libraries."""

MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle", "^"), ("cross", "X"))
"""Marks: the name on the page and the name in matplotlib. Plain techniques have circles."""

DASHES = (
    ("", "-"),
    ("8 4", "--"),
    ("8 3 2 3", "-."),
    ("2 3", ":"),
    ("14 4", (0, (8, 3))),
)
"""Line patterns: SVG's ``stroke-dasharray`` and matplotlib's line style of each pattern."""


@dataclass(frozen=True)
class Style:
    """The look of a backend.

    `mark` and `dash` each hold the page's name and matplotlib's name. A `hollow` mark is not
    filled.
    """

    colour: str
    mark: tuple[str, str]
    dash: tuple[str, object]
    hollow: bool


def styles(backends: Iterable[str]) -> dict[str, Style]:
    """Return a style for every backend; marks of devices other than the CPU are hollow."""
    names = sorted({str(b) for b in backends})
    libraries = list(dict.fromkeys(Name.parse(b).library for b in names))
    others = [library for library in libraries if library not in COLOURS]
    colours = COLOURS | {library: OTHERS[i % len(OTHERS)] for i, library in enumerate(others)}
    techniques: dict[str, list[str]] = {}
    for backend in names:
        name = Name.parse(backend)
        known = techniques.setdefault(name.library, [""])
        if name.technique not in known:
            known.append(name.technique)

    def style(backend: str) -> Style:
        name = Name.parse(backend)
        at = techniques[name.library].index(name.technique) % len(MARKS)
        return Style(colours[name.library], MARKS[at], DASHES[at], name.device != "cpu")

    return {backend: style(backend) for backend in names}
