"""Start a library in a child process, to find out why it does not start.

Some environment variables make a library end the process in which it starts, or hang for
minutes. If such a variable is set, a child process starts the library first. If this fails,
more child processes start the library without these variables, to find the variable that is the
cause.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Collection, Mapping
from functools import cache

from backends.child import answer
from backends.errors import MissingLibraryError
from backends.names import Library

TIMEOUT_SECONDS = 60.0
"""Timeout in seconds for a library's start in a child process: ten times the slowest start that
was measured."""

PASSED = "DESCENTBENCH_STARTED_WITH"
"""Environment variable that records the checks which libraries have passed. Each line is a JSON
object with a library and its risky variables. Child processes inherit the record and do not
repeat the checks."""

_CODE = """
import importlib, json, sys
try:
    module = importlib.import_module(sys.argv[1])
    getattr(module, "devices", dict)("")
except Exception as error:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    print(json.dumps({"reason": lines[0]}))
else:
    print(json.dumps({"reason": ""}))
"""
"""Program of the child process: it imports ``library.module`` and lists the devices."""


def check_first(library: Library) -> None:
    """Start the library in a child process if one of its risky variables is set.

    Raises
    ------
    MissingLibraryError
        The library does not start in the child. The error names the reason and the variable.
    """
    risky = _set_here(library.risky)
    settings = json.dumps({library.name: risky}, sort_keys=True)
    if not risky or settings in os.environ.get(PASSED, "").splitlines():
        return
    if reason := started_without(library, ()):
        raise failure(library, reason)
    os.environ[PASSED] = "\n".join(filter(None, (os.environ.get(PASSED), settings)))


def failure(library: Library, reason: str, what: str = "start") -> MissingLibraryError:
    """Return the error for a library that does not start; it names the cause and the remedy."""
    if causes := cause(library, reason):
        settings = " ".join(f"{name}={os.environ[name]}" for name in causes)
        return MissingLibraryError(
            f"{library.name} does not {what} with {settings} ({reason}); "
            f"unset {' or '.join(causes)}, or correct it"
        )
    return MissingLibraryError(
        f"{library.name} is installed but does not {what} ({reason}); "
        f"install it anew: {library.install}"
    )


def cause(library: Library, reason: str) -> list[str]:
    """Return the environment variables that keep the library from starting.

    The result is one of these lists:

    - a single variable, if the library starts without it;
    - all variables that are set, if leaving out a single one is not enough;
    - an empty list, if no variable is set, or if leaving out all of them does not help.
    """
    names = [*_set_here(library.variables)]
    if not names or started_without(library, tuple(names)):
        return []
    names.sort(key=lambda name: (name not in reason, name not in library.risky))
    return next(([name] for name in names if not started_without(library, (name,))), names)


def started_without(library: Library, variables: Collection[str]) -> str:
    """Start the library in a child process without `variables`; return why it fails, or ""."""
    environment = {k: v for k, v in os.environ.items() if k not in variables}
    return _started(library.module, frozenset(environment.items()))


@cache
def _started(module: str, environment: Collection[tuple[str, str]]) -> str:
    told = answer(
        _CODE, module, environment=dict(environment), seconds=TIMEOUT_SECONDS, does="started"
    )
    return told if isinstance(told, str) else str(told["reason"])


def _set_here(patterns: Collection[str]) -> Mapping[str, str]:
    """Return the environment variables that match a pattern and are not empty."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if value and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
