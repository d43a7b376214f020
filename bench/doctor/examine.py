"""Run all checks of ``doctor``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from backends.names import libraries
from bench.doctor.caches import measured_caches
from bench.doctor.finding import Finding
from bench.doctor.libraries import library_findings
from bench.doctor.machine import disk, graphics, memory, processor
from bench.doctor.software import compiler, extras, overrides
from bench.host.procfs import ROOT


def examine(store: Path, root: Path = ROOT) -> Iterator[Finding]:
    """Run all checks; yield the findings in the order in which they are shown.

    Parameters
    ----------
    store : Path
        Folder of the results.
    root : Path
        Root of the file system; tests pass another folder.
    """
    yield from processor(root)
    yield from memory(root)
    yield measured_caches()
    yield from overrides(os.environ)
    yield disk(store)
    yield compiler()
    yield from graphics()
    for library in libraries().values():
        yield from library_findings(library)
    yield from extras()
