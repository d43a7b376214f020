"""Choose the look of each backend in figures: its colour, its mark and its pattern of dashes.

The colour shows the library; mark and dashes show the technique, so that figures are clear
without colours. The page and the plots use the same looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backends.names import Name

COLOURS = {"numpy": "#0072B2", "numba": "#D55E00", "torch": "#CC79A7", "jax": "#009E73"}
"""Colour of each library, from Okabe and Ito's palette for colour-blind readers."""

OTHERS = ("#B97F00", "#3F97CF", "#8C6D31", "#7F7F7F")
"""Colours of all libraries that are not in `COLOURS`, such as Dask."""

MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle", "^"), ("cross", "X"))
"""Marks that tell the techniques of a library apart; a circle stands for a name without a
technique, such as ``numpy``. Each pair has a mark's name in the HTML report and its name
in matplotlib."""

DASHES = (
    ("", "-"),
    ("8 4", "--"),
    ("8 3 2 3", "-."),
    ("2 3", ":"),
    ("14 4", (0, (8, 3))),
)
"""Line patterns that tell the techniques of a library apart. Each pattern is given twice: as
SVG's ``stroke-dasharray`` and as matplotlib's line style."""


@dataclass(frozen=True)
class Style:
    """The look of a backend.

    `mark` is a pair of names: on the HTML page of the report, and in matplotlib. `dash` is a
    pair of line patterns: in SVG and in matplotlib. A `hollow` mark is an outline.
    """

    colour: str
    mark: tuple[str, str]
    dash: tuple[str, object]
    hollow: bool


def styles(backends: Iterable[str]) -> dict[str, Style]:
    """Return a style for every backend. Marks are hollow for devices other than the CPU."""
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
