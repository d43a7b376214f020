"""How a backend looks in every figure: colour a library, mark and dash a technique.

So that nothing depends on colours alone, and the page and the plots agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backends.names import Name

COLOURS = {"numpy": "#0072B2", "numba": "#D55E00", "torch": "#CC79A7", "jax": "#009E73"}
"""Okabe and Ito's, which colour-blind people can tell apart."""

OTHERS = ("#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
"""For libraries that come from elsewhere."""

MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"))
"""As plotly and as matplotlib call them; the plain technique's first."""

DASHES = (
    ("solid", "-"),
    ("dash", "--"),
    ("dashdot", "-."),
    ("dot", ":"),
    ("longdash", (0, (8, 3))),
)


@dataclass(frozen=True)
class Style:
    """One backend's; `mark` and `dash` are pairs, plotly's name and matplotlib's."""

    colour: str
    mark: tuple[str, str]
    dash: tuple[str, object]
    hollow: bool


def styles(backends: Iterable[str]) -> dict[str, Style]:
    """Return a style for every backend; a device beside the CPU is drawn hollow."""
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
