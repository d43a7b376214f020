"""Names of backends: which there are, which can run here, and how to open one.

Nothing here imports an array library. A `Library` names the module that does,
which is imported when one of its backends is opened or its devices are asked
for.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from backends.errors import BackendError, DeviceError, MissingLibraryError
from backends.interface import Backend, Descent, LibraryModule, Place
from backends.names import Library, Name, _first_line, libraries
from backends.problem import Problem


@dataclass(frozen=True)
class Entry:
    """A backend that could exist here, and why not if it cannot run."""

    name: Name
    reason: str = ""

    @property
    def available(self) -> bool:
        """Whether it can run on this machine as it is."""
        return not self.reason


def entries(patterns: Iterable[str] = ("*",)) -> list[Entry]:
    """List the backends whose library's name could match one of the patterns.

    Only the libraries that a pattern can match are imported.
    """
    return [
        entry
        for library in libraries().values()
        if any(fnmatch.fnmatch(library.name, _library_part(p)) for p in patterns)
        for entry in _entries_of(library)
    ]


def _library_part(pattern: str) -> str:
    head = pattern.partition("@")[0].partition(":")[0]
    return head or "*"


def _matches(name: Name, pattern: str) -> bool:
    """Match the parts on either side of the @ apart: `str` leaves out ``@cpu``."""
    backend, _, device = pattern.partition("@")
    return fnmatch.fnmatch(
        str(Name(name.library, name.technique)), backend or "*"
    ) and fnmatch.fnmatch(name.device, device or "*")


def _entries_of(library: Library) -> Iterator[Entry]:
    for technique in ("", *library.techniques):
        try:
            module = load(library)
        except MissingLibraryError as error:
            yield Entry(Name(library.name, technique), str(error))
            continue
        for device, reason in module.devices(technique).items():
            yield Entry(Name(library.name, technique, device), reason)


def select(patterns: Iterable[str], devices: Iterable[str] = ()) -> list[Name]:
    """Return the backends that the patterns name, each once, in their order.

    A pattern is a backend's name, or a shell pattern over names such as
    ``torch*``; a pattern keeps what can run here, a name must. Of `devices`, if any, only
    those are kept: a name without a device stands for itself on each of them.

    Raises
    ------
    BackendError
        A name that is unknown or cannot run here, or a pattern that matches
        nothing.
    """
    chosen: dict[Name, None] = {}
    devices = list(devices)
    for pattern in patterns:
        if not any(c in pattern for c in "*?["):
            named = Name.parse(pattern)
            there = [] if "@" in pattern else [replace(named, device=d) for d in devices]
            chosen |= dict.fromkeys(map(check, there or [named]))
            continue
        found = [e.name for e in entries([pattern]) if e.available]
        found = [name for name in found if _matches(name, pattern)]
        if not found:
            raise BackendError(f"no backend that can run here matches {pattern!r}")
        chosen |= dict.fromkeys(found)
    kept = [name for name in chosen if not devices or name.device in devices]
    if devices and not kept:
        raise BackendError(f"no backend runs on {', '.join(devices)} here")
    return kept


def unavailable(patterns: Iterable[str]) -> dict[str, str]:
    """Return the backends that the patterns name and that cannot run here, with the reasons."""
    patterns = list(patterns)
    return {
        str(entry.name): entry.reason
        for entry in entries(patterns)
        if not entry.available and any(_matches(entry.name, p) for p in patterns)
    }


def load(library: Library) -> LibraryModule:
    """Import a library's file.

    Raises
    ------
    MissingLibraryError
        With the line that installs it.
    """
    if importlib.util.find_spec(library.imports) is None:
        raise MissingLibraryError(f"{library.name} is not installed: {library.install}")
    try:
        return cast(LibraryModule, importlib.import_module(library.module))
    except Exception as error:  # an OSError where a shared library lacks, and what not
        raise MissingLibraryError(
            f"{library.name} is installed but does not import ({_first_line(error)}); "
            f"install it anew: {library.install}"
        ) from error


def check(name: Name) -> Name:
    """Return `name` if it can run here.

    Raises
    ------
    MissingLibraryError, DeviceError
    """
    devices = load(libraries()[name.library]).devices(name.technique)
    if name.device not in devices:
        usable = ", ".join(d for d, reason in devices.items() if not reason) or "none"
        raise DeviceError(
            f"{Name(name.library, name.technique)} has no device {name.device!r} here; "
            f"there is: {usable}"
        )
    if devices[name.device]:
        raise BackendError(f"{name} cannot run here: {devices[name.device]}")
    return name


@dataclass(frozen=True)
class _Opened:
    """The `Backend` of a technique's class on a device."""

    name: str
    device: str
    technique: Place
    module: LibraryModule

    @property
    def joins_a_line(self) -> bool:
        """Whether one feature and y side by side cost it no more than apart."""
        return getattr(self.technique, "joins_a_line", False)

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        return self.technique(problem, learning_rate, self.device)

    def peak_device_bytes(self) -> int | None:
        return self.module.peak_device_bytes(self.device)


def open_backend(name: str | Name) -> Backend:
    """Import the library and return the backend of that name.

    Raises
    ------
    BackendError
        Unknown name; MissingLibraryError: not installed; DeviceError: no such
        device here.
    """
    parsed = check(name if isinstance(name, Name) else Name.parse(name))
    module = load(libraries()[parsed.library])
    return _Opened(str(parsed), parsed.device, module.TECHNIQUES[parsed.technique], module)
