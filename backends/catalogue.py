"""Names of backends: which there are, which can run here, and how to open one.

Nothing here imports an array library. A `Library` names the module that does,
which is imported when one of its backends is opened or its devices are asked
for.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from backends.interface import (
    Backend,
    BackendError,
    Descent,
    DeviceError,
    LibraryModule,
    MissingLibraryError,
    Place,
)
from backends.problem import Problem

ENTRY_POINT_GROUP = "descentbench.backends"

GRAM = "gram"
"""The technique, in any library, that replaces the data by XᵀX and Xᵀy: least squares only."""


@dataclass(frozen=True)
class Library:
    """One line of the catalogue: a library and the file with its techniques.

    Attributes
    ----------
    name : str
        As it stands in a backend's name.
    module : str
        The `LibraryModule`; importing it may import the library.
    techniques : tuple of str
        Beside the plain one, which every library has.
    needs : str
        The library's own import name.
    install : str
        The line that installs it.
    distributed : bool
        Whether its backends run in other processes, on a `Source` as on a `Problem`.
    """

    name: str
    module: str
    techniques: tuple[str, ...] = ()
    needs: str = ""
    install: str = ""
    distributed: bool = False

    @property
    def imports(self) -> str:
        """The top-level module whose import is the library's import time."""
        return self.needs or self.name


BUILT_IN = (
    Library("numpy", "backends.numpy", ("blocked", "gram"), install="pip install numpy"),
    Library("numba", "backends.numba", ("parallel", "gram"), install="pip install numba"),
    Library(
        "torch",
        "backends.torch",
        ("analytic", "compile", "graph", "gram"),
        install="pip install torch",
    ),
    Library("jax", "backends.jax", ("loop", "blocked", "gram"), install="pip install jax"),
    Library(
        "dask",
        "backends.dask",
        ("numpy", "numba", "torch", "jax"),
        needs="distributed",
        install="pip install distributed 'dask[array]'",
        distributed=True,
    ),
)

_registered: dict[str, Library] = {}


def register(library: Library) -> None:
    """Add a library for this process; a package declares an entry point instead."""
    _registered[library.name] = library


def unregister(name: str) -> None:
    """Take a registered library out again."""
    _registered.pop(name, None)


@lru_cache(maxsize=1)
def _from_entry_points() -> tuple[Library, ...]:
    return tuple(map(_declared, entry_points(group=ENTRY_POINT_GROUP)))


def _declared(entry: EntryPoint) -> Library:
    try:
        return cast(Library, entry.load())
    except Exception as error:
        raise BackendError(
            f"the backends that an installed package declares as {entry.value!r} do not load "
            f"({_first_line(error)}); mend the package or uninstall it"
        ) from error


def libraries() -> dict[str, Library]:
    """All libraries by name: built in, from entry points, registered."""
    known = (*BUILT_IN, *_from_entry_points(), *_registered.values())
    return {library.name: library for library in known}


@dataclass(frozen=True)
class Name:
    """A backend's name, taken apart: ``library[:technique][@device]``."""

    library: str
    technique: str = ""
    device: str = "cpu"

    @classmethod
    def parse(cls, text: str) -> Name:
        """Take a name apart and check library and technique, not the device."""
        rest, _, device = text.strip().partition("@")
        library, _, technique = rest.partition(":")
        known = libraries()
        if library not in known or technique not in ("", *known[library].techniques):
            raise BackendError(_unknown(rest))
        return cls(library, technique, device or "cpu")

    @property
    def distributed(self) -> bool:
        """Whether it runs on the workers of a cluster."""
        return libraries()[self.library].distributed

    @property
    def least_squares_only(self) -> bool:
        """Whether the technique would not work with another loss."""
        return self.technique == GRAM

    def __str__(self) -> str:
        technique = f":{self.technique}" if self.technique else ""
        device = f"@{self.device}" if self.device != "cpu" else ""
        return f"{self.library}{technique}{device}"


def _unknown(text: str) -> str:
    names = [
        str(Name(library.name, technique))
        for library in libraries().values()
        for technique in ("", *library.techniques)
    ]
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return f"unknown backend {text!r}; {hint}"


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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


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
