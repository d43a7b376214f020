"""Print tables that fit the width and the encoding of the output. No number is cut off."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bench.host.streams import readable

WIDTH = 80
"""Width of a line in characters if the output is not a terminal and `COLUMNS` is not set."""

NARROWEST = 24
"""Smallest width of a line in characters, even if the terminal is narrower. A line of this
width has room for the longest number with its heading."""

SHORTEST_NAME = 12
"""Smallest width of a column of names, in characters. Names are split at ``:`` and ``@``; if
all pieces are shorter than this width, the column can become narrower."""

SHORTEST_TEXT = 24
"""A column of sentences can be narrowed to this many characters or to its longest word,
whichever is smaller."""

ASCII_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""Lines of a table, drawn with ``-``, for encodings without line-drawing characters."""


class _Terminal(Console):
    """A console that replaces characters which cannot be encoded, and then wraps the lines."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Replace the characters that cannot be encoded, such as µ with u; then render."""
        if isinstance(renderable, Text):
            renderable = _text(renderable, self.encoding)
        return super().render(renderable, options)

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError again; `bench.host.streams.prepared` handles it."""
        raise


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console for stdout or stderr, as wide as the terminal.

    If the stream is not a terminal, the environment variable `COLUMNS` gives the width, 80 by
    default. With `soft_wrap`, long lines get no line breaks, so the terminal wraps them.
    """
    stream = sys.stderr if stderr else sys.stdout
    settings: dict[str, Any] = {
        "stderr": stderr,
        "soft_wrap": soft_wrap,
        "highlight": False,
        "markup": False,
    }
    if stream.isatty():
        width = Console(**settings).width
    else:
        asked = os.environ.get("COLUMNS", "")
        width = int(asked) if asked.isdigit() and int(asked) else WIDTH
    return _Terminal(width=max(width, NARROWEST), emoji=False, **settings)


class Columns:
    """A table with names in the first column and numbers in the other columns.

    If the table is wider than a line, names and sentences are broken into several lines. Names
    are broken after ``:`` and before ``@``. If the table is still too wide, every row is
    printed as a paragraph: the name, and below the name the numbers with their headings.

    Parameters
    ----------
    headings : str
        Heading of each column.
    words : collection of int
        Indices of the columns that are aligned left; other columns are aligned right.
    sentences : collection of int
        Indices of the columns that can be wrapped between words.
    title : str
        Text above the table.
    gap : int
        Number of spaces to the right of each column, in addition to spaces that `box` adds.
    box : Box, optional
        Style of the line below the headings, from the library Rich; None for no line.
    """

    def __init__(
        self,
        *headings: str,
        words: Collection[int] = (0,),
        sentences: Collection[int] = (),
        title: str = "",
        gap: int = 1,
        box: Box | None = SIMPLE_HEAD,
    ) -> None:
        self.headings, self.words, self.sentences = headings, words, sentences
        self.title, self.gap, self.box = title, gap, box
        self.rows: list[Sequence[str | Text]] = []
        self.section_ends: set[int] = set()

    def add_row(self, *cells: str | Text) -> None:
        """Add a row. Missing cells at its end are empty."""
        self.rows.append((*cells, *[""] * (len(self.headings) - len(cells))))

    def add_section(self) -> None:
        """Draw a line between the last row and the next row."""
        self.section_ends.add(len(self.rows))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or a paragraph for each row if the table is too wide for a line."""
        title = readable(self.title, options.encoding)
        lines = [
            [_text(cell, options.encoding) for cell in row]
            for row in (self.headings, *self.rows)
        ]
        widths = self._widths(console, options, lines)
        if widths is None:
            yield from self._stacked(title, lines, options)
        else:
            yield self._table(title, lines, widths, options)

    def _widths(
        self, console: Console, options: ConsoleOptions, lines: list[list[Text]]
    ) -> list[int] | None:
        """Return the width of each column; None if the columns do not fit into a line."""
        columns = list(zip(*lines, strict=True))
        widths = [max(map(_width, column)) for column in columns]
        whole = self._table("", lines, widths, options)
        wide = options.update(width=sum(widths) + 100)
        excess = Measurement.get(console, wide, whole).maximum - options.max_width
        for i in (*self.sentences, 0):
            least = _least(columns[i], SHORTEST_TEXT if i else SHORTEST_NAME)
            given = max(0, min(excess, widths[i] - least))
            widths[i] -= given
            excess -= given
        return None if excess > 0 else widths

    def _table(
        self,
        title: str,
        lines: list[list[Text]],
        widths: Sequence[int],
        options: ConsoleOptions,
    ) -> Table:
        """Return the table; `widths` are the widths of its columns in characters."""
        table = Table(
            title=Text(title) if title else None,
            title_justify="left",
            title_style="bold",
            box=ASCII_HEAD if self.box and options.ascii_only else self.box,
            show_edge=False,
            padding=(0, self.gap, 0, 0),
            pad_edge=False,
        )
        for i, (heading, width) in enumerate(zip(lines[0], widths, strict=True)):
            justify: JustifyMethod = "left" if i in self.words else "right"
            table.add_column(heading, justify=justify, width=width, overflow="fold")
        for number, (name, *cells) in enumerate(lines[1:], start=1):
            ends = number in self.section_ends
            table.add_row(_folded(name, widths[0]), *cells, end_section=ends)
        return table

    def _stacked(
        self, title: str, lines: list[list[Text]], options: ConsoleOptions
    ) -> RenderResult:
        """Yield each row of the table as a paragraph, for a table that is too wide."""
        if title:
            yield Text(f"{title}\n", "bold")
        headings = [heading.plain.replace("\n", " ").strip() for heading in lines[0]]
        for name, *figures in lines[1:]:
            called = name.plain if 0 in self.words else f"{headings[0]} {name.plain}"
            yield Text(called, "bold", overflow="fold")
            found = [
                f"{heading} {cell.plain}".strip().replace("\n", " ")
                for heading, cell in zip(headings[1:], figures, strict=True)
                if cell.plain
            ]
            for line in _packed(found, options.max_width - 2):
                yield Padding(Text(line, overflow="fold"), (0, 0, 0, 2))


def _text(cell: Any, encoding: str) -> Text:
    """Return the cell as text that the encoding can print; other characters are replaced."""
    text = cell if isinstance(cell, Text) else Text(str(cell))
    plain = readable(text.plain, encoding)
    if plain != text.plain:
        text = text.copy()
        text.plain = plain
    return text


def _width(text: Text) -> int:
    return max((line.cell_len for line in text.split()), default=0)


def _parts(name: str) -> list[str]:
    """Split a text at the places where a line break is allowed.

    For example, ``torch:loop@cuda:0`` becomes ``torch:``, ``loop``, ``@cuda:`` and ``0``.
    Sentences are split at spaces.
    """
    return re.findall(r"@?[^:@ ]+:?|[:@ ]+", name)


def _least(column: Iterable[Text], most: int) -> int:
    """Return the length of a column's longest part (see `_parts`), or `most` if smaller."""
    longest = max(len(part) for cell in column for part in (_parts(cell.plain) or [""]))
    return min(longest, most)


def _folded(name: Text, width: int) -> Text:
    """Add line breaks to a name so that no line has more than `width` characters.

    `_parts` gives the places where a line break is allowed.
    """
    if _width(name) <= width:
        return name
    lines = [""]
    for part in _parts(name.plain):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return Text("\n".join(line.strip() for line in lines), name.style)


def _packed(items: Iterable[str], width: int) -> list[str]:
    """Join items with semicolons; begin a new line where a line would exceed the width."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + 2 + len(item) < width:
            lines[-1] += f"; {item}"
        else:
            lines.append(item)
    return lines
