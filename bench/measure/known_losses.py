"""Find losses by name: built-in losses, and losses from the user's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from backends.errors import ProblemError
from backends.losses import LOSSES, NAME, Loss, find

_from_files: dict[str, tuple[Loss, str]] = {}
"""Losses from files, by name: the loss, and its text ``FILE.py:NAME`` with an absolute path."""


def register(text: str) -> Loss:
    """Return the loss that `text` gives: a built-in name, or ``FILE.py:NAME``.

    A loss from a file is registered, so that `named` finds it. This function runs the file, so
    call it only with text from the command line.
    """
    loss = find(text)
    if not NAME.fullmatch(loss.name):
        raise ProblemError(f"{text}: a loss's name must begin with a letter from A to Z or _")
    if text not in LOSSES:
        file, _, name = text.rpartition(":")
        _from_files[loss.name] = loss, f"{Path(file).absolute()}:{name}"
    return loss


def named(name: str) -> Loss:
    """Return the loss with the name that a benchmark case gives.

    Raises
    ------
    ProblemError
        The loss is from a file that `register` has not registered, or that has changed.
    """
    if name in LOSSES:
        return LOSSES[name]
    if name in _from_files:
        return _from_files[name][0]
    raise ProblemError(
        f"there is no loss {name!r} here; give a loss from a file as --loss FILE.py:NAME (its "
        "name changes with the file)"
    )


def options(names: Iterable[str]) -> list[str]:
    """Return the options that give a child process the named losses from files."""
    found = dict.fromkeys(name for name in names if name in _from_files)
    return [f"--loss={_from_files[name][1]}" for name in found]
