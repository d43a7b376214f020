"""Read the steps of an example page: files to save, commands and Python code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""Matches a fenced block; the groups are its language and its text."""

SAVED = re.compile(r"`([\w./-]+\.\w+)`[^`]*:\s*\Z")
"""Matches a paragraph before a file's content, which names the file and ends with a colon."""


@dataclass(frozen=True)
class Part:
    """A step of a page.

    Attributes
    ----------
    kind : {"file", "command", "python"}
    text : str
        The file's content, the command, or the code.
    name : str
        Name of the file; empty for a command or code.
    output : str
        Output of the command on the page; empty if the page shows none.
    """

    kind: Literal["file", "command", "python"]
    text: str
    name: str = ""
    output: str = ""


def parts(page: Path) -> Iterator[Part]:
    """Yield the steps of a page in order."""
    text = page.read_text(encoding="utf-8")
    end = 0
    for block in FENCED.finditer(text):
        language, content = block.groups()
        before, end = text[end : block.start()], block.end()
        if language == "console":
            yield from _commands(content)
        elif saved := SAVED.search(before):
            yield Part("file", content, saved[1])
        elif language == "python":
            yield Part("python", content)
        else:
            raise AssertionError(f"{page.name}: a {language} block that nothing names")


def _commands(content: str) -> Iterator[Part]:
    """Yield the commands of a ``console`` block, each after ``$``, with their output."""
    for shown in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        command, _, output = shown.partition("\n")
        yield Part("command", command, output=output.strip("\n"))


def words(command: str) -> list[str]:
    """Return the words of a command line."""
    return shlex.split(command)
