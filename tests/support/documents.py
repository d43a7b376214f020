"""Find the commands and Python examples in the documentation and in ``--help``.

The function `small` shortens a command so that it ends in seconds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from click.testing import CliRunner

from bench.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))

MOST = {
    "--rows": 1000,
    "-n": 1000,
    "--features": 4,
    "--iterations": 20,
    "-k": 20,
    "--steps": 20,
}
"""Option → its largest value in a command that `small` has shortened."""


@dataclass(frozen=True)
class Example:
    """A documented command.

    Attributes
    ----------
    where : str
        The page, or the command whose ``--help`` shows it.
    command : tuple of str
        The words, without quotes.
    output : tuple of str
        Documented lines of output; empty where none are shown.
    """

    where: str
    command: tuple[str, ...]
    output: tuple[str, ...] = ()


def examples() -> list[Example]:
    """Return the commands of all pages and help texts."""
    found: list[Example] = []
    for page in PAGES:
        found += _of_page(page.name, page.read_text(encoding="utf-8"))
    for command in ("", *COMMANDS):
        text = CliRunner().invoke(main, [*command.split(), "--help"]).output
        shown = text.partition("Example")[2].partition("\n")[2].partition("\n\n")[0]
        lines = [line.strip() for line in shown.splitlines()]
        found += _of_lines(f"{command} --help".strip(), lines)
    return found


def python_blocks(page: Path) -> list[str]:
    """Return the text of each fenced Python block of a page."""
    return re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def _of_page(where: str, text: str) -> Iterator[Example]:
    """Yield the commands of a page: in code blocks and in inline code."""
    text = re.sub(r"(?ms)^```(python|text)\n.*?^```", "", text)
    lines = text.splitlines()
    block: list[str] = []
    fenced = False
    for before, line in pairwise(["", *lines, ""]):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and (block or not before)):
            block.append(line if fenced else line[4:])
        elif line or not block:
            yield from _of_lines(where, block)
            block = []
            for code in re.findall(r"`([^`]+)`", line):
                if re.match(r"(descentbench|nox|\./nox\.sh) ", code):
                    yield Example(where, tuple(shlex.split(code)))
        else:
            block.append("")
    yield from _of_lines(where, block)


def _of_lines(where: str, lines: Iterable[str]) -> Iterator[Example]:
    """Yield the commands of a code block; if commands are joined by pipes, only the last one.

    If a line begins with ``$``, all lines that do not begin with ``$`` are output.
    """
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    shows_output = any(line.startswith("$ ") for line in joined)
    for i, line in enumerate(joined):
        if shows_output and not line.startswith("$ "):
            continue
        whole = shlex.split(line.removeprefix("$ "), comments=True)
        words = tuple(whole[whole.index("|") + 1 :] if "|" in whole else whole)
        if words:
            rest = joined[i + 1 :] if shows_output else []
            ends = (k for k, later in enumerate(rest) if later.startswith("$ "))
            output = rest[: next(ends, len(rest))]
            yield Example(where, words, tuple("\n".join(output).strip("\n").splitlines()))


def small(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return a version of a ``descentbench`` command that ends in seconds.

    - Numbers are at most those of `MOST`.
    - ``run`` and ``pick`` measure the backends `MEASURED` only: ``run`` in one short pass, with
      100 rows if the command gives no rows, and ``pick`` for at most 20 seconds.
    - ``--scheduler`` and its address become ``--workers 1``, a Dask cluster on this machine.
    - The folder ``/data/`` becomes ``parts/``. OLD and NEW become ``before`` and ``after``, the
      names of two results that the test has made.
    """
    command, *rest = arguments
    words = [REPLACED.get(word, word).replace("/data/", "parts/") for word in rest]
    for i, (before, word) in enumerate(pairwise(rest), 1):
        if before in MOST:
            words[i] = str(min(int(float(word)), MOST[before]))
        elif before == "--scheduler":
            words[i] = "1"
    if command in ("run", "pick"):
        given = {i + k for i, word in enumerate(rest) for k in (0, 1) if word == "--backend"}
        words = [word for i, word in enumerate(words) if i not in given] + MEASURED
    if command == "run":
        words += ["--passes", "1", "--more", "0", "--seconds", "0.01"]
        if not {"--rows", "-n", "--data"} & {*words}:
            words += ["--rows", "100"]
    if command == "pick":
        words += ["--budget", "20"]
    return command, *words


REPLACED = {"--scheduler": "--workers", "OLD": "before", "NEW": "after"}
"""Word of a command → the word that `small` puts in its place."""

MEASURED = ["--backend", "numpy", "--backend", "numpy:blocked"]
"""Backends that `small` lets ``run`` and ``pick`` measure; they start in less than a second."""


def named_backends(arguments: tuple[str, ...]) -> list[str]:
    """Return the names and patterns of backends in a command."""
    return [word for before, word in pairwise(arguments) if before in ("--backend", "-b")]


def skeleton(text: str) -> str:
    """Return the text with ``@`` for each backend, and ``#`` for each number and its unit."""
    text = re.sub(r"\b(numpy|numba|torch|jax|dask)(:\w+)?(@\w+(:\d)?)?", "@", text)
    text = re.sub(r"[\d.,]*\d(e\d+)?( (ns|µs|ms|s|min|h|days|[kMGT]?B)\b)?[%×]?", "#", text)
    return " ".join(text.split())
