"""A library's backends imported once more, as in a process that has not used them yet."""

from __future__ import annotations

import sys

import pytest

import backends


def forget(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Let the next use of a library's backends import them anew, until the test ends."""
    package = f"backends.{library}"
    for name in [*sys.modules]:
        if name == package or name.startswith(f"{package}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(backends, library, None, raising=False)
