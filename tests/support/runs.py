"""Short runs of the program, and faulty backends for these runs."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import declare

INTERRUPTIBLE = """
import signal
from bench.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
main()
"""
"""Code that runs the program so that SIGINT and SIGHUP end it, even if the process of the tests
ignores these signals."""


SMALL = ("run", "--rows", 100, "--seconds", 0.01, "--more", 0)
"""Command for a run that ends in seconds."""


def declare_faulty(folder: Path, **faults: str) -> None:
    """Install faulty backends: name → Python code that runs at the end of each descent."""
    for name, fault in faults.items():
        declare(folder, name, FAULTY.format(name=name, fault=fault))


def chosen(*backends: str) -> list[str]:
    """Return the options that choose these backends."""
    return [word for backend in backends for word in ("--backend", backend)]


def only_record(store: Path) -> Path:
    """Return the path of the single record in a store."""
    (path,) = store.glob("*.json")
    return path


FAULTY = """
import os, signal, sys, time
from pathlib import Path

from backends.names import Library
from backends.numpy import Plain

LIBRARY = Library("{name}", "{name}", {{"": "Faulty"}}, install="pip install {name}")


class Faulty(Plain):
    def run(self, w, steps):
        w = super().run(w, steps)
        {fault}
        return w

"""
