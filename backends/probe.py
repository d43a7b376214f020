"""Start a library in a child process, to find out why it does not start.

Some environment variables make a library end the process in which it starts, or hang for
minutes. If such a variable is set, the library is first started in a child process. If the
start fails, a second child process starts the library without any of the library's variables.
Further child processes leave out one variable each, to find the cause.
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
"""Environment variable that lists the libraries which passed the test in a child process. Each
line is a JSON object with a library's name and the environment variables of the test. Child
processes inherit the list and do not test these libraries again."""

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
    """Test in a child process that a library starts.

    The test is left out if none of the environment variables in `Library.risky` is set.

    Raises
    ------
    MissingLibraryError
        The library does not start in the child process. The error names the reason and the
        variable.
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

    Only variables whose names match a pattern in `Library.variables` are tested. The result
    contains:

    - one variable, if the library starts when only this variable is left out;
    - all tested variables, if the library starts only when several of them are left out;
    - nothing, if the library does not start even when all of them are left out.
    """
    names = [*_set_here(library.variables)]
    if not names or started_without(library, tuple(names)):
        return []
    names.sort(key=lambda name: (name not in reason, name not in library.risky))
    return next(([name] for name in names if not started_without(library, (name,))), names)


def started_without(library: Library, variables: Collection[str]) -> str:
    """Start a library in a child process without some of the environment variables.

    The result is "" if the library starts, and otherwise the reason why it does not start.
    """
    environment = {k: v for k, v in os.environ.items() if k not in variables}
    return _started(library.module, frozenset(environment.items()))


@cache
def _started(module: str, environment: Collection[tuple[str, str]]) -> str:
    told = answer(
        _CODE, module, environment=dict(environment), seconds=TIMEOUT_SECONDS, does="started"
    )
    return told if isinstance(told, str) else str(told["reason"])


def _set_here(patterns: Collection[str]) -> Mapping[str, str]:
    """Return the environment variables that are not empty and whose name matches a pattern."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if value and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
