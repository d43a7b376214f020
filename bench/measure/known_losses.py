"""Find losses by name: built-in losses, and losses from the user's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from backends.errors import ProblemError
from backends.losses import LOSSES, NAME, Loss, find

_from_files: dict[str, tuple[Loss, str]] = {}
"""Losses that `register` loaded, by name. A value is the pair of the loss and the text
``FILE.py:NAME`` with an absolute path."""


def register(text: str) -> Loss:
    """Return the loss that `text` names: a built-in loss, or a loss in a file.

    A loss in a file is named ``FILE.py:NAME``. Afterwards, the function `named` also finds this
    loss. Loading the loss executes the file, so pass only text that the user has typed.
    """
    loss = find(text)
    if not NAME.fullmatch(loss.name):
        raise ProblemError(f"{text}: a loss's name must begin with a letter from A to Z or _")
    if text not in LOSSES:
        file, _, name = text.rpartition(":")
        _from_files[loss.name] = loss, f"{Path(file).absolute()}:{name}"
    return loss


def named(name: str) -> Loss:
    """Return the loss that a benchmark case names.

    Raises
    ------
    ProblemError
        The loss is not built in, and `register` has not loaded it. The name of a loss from a
        file changes with the file, so a changed file must be loaded again.
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
    """Return an option ``--loss=FILE.py:NAME`` for each loss in `names` that is from a file.

    A child process loads the losses from these options.
    """
    found = dict.fromkeys(name for name in names if name in _from_files)
    return [f"--loss={_from_files[name][1]}" for name in found]
