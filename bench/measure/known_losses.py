"""Find losses by name: built-in losses, and losses from the user's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from backends.errors import ProblemError
from backends.losses import LOSSES, NAME, Loss, find

_from_files: dict[str, tuple[Loss, str]] = {}
"""Name → (loss, ``FILE.py:NAME`` with an absolute path), for losses that `register` loaded."""


def register(text: str) -> Loss:
    """Return a built-in loss by its name, or load a loss from ``FILE.py:NAME``.

    Afterwards, the function `named` returns the loaded loss. Loading runs the file as Python
    code, so `text` must come from the user.
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
