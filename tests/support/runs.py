"""Small runs of the program, and faulty backends for them."""

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
"""The program, also where the tests themselves were told to ignore Ctrl-C or SIGHUP."""


SMALL = ("run", "--rows", 100, "--seconds", 0.01, "--more", 0)


def declare_faulty(folder: Path, **faults: str) -> None:
    """Install backends that do this once they have descended."""
    for name, fault in faults.items():
        declare(folder, name, FAULTY.format(name=name, fault=fault))


def chosen(*backends: str) -> list[str]:
    return [word for backend in backends for word in ("--backend", backend)]


def only_record(store: Path) -> Path:
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
