"""The catalogue of backends: functions to list, check and open backends.

Importing this module imports NumPy, but no other array library. A library such as PyTorch is
imported when one of its backends is listed, checked or opened.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import cast

from backends import probe
from backends.errors import BackendError, DeviceError, MissingLibraryError
from backends.interface import Backend, Descent, Place
from backends.losses import LOSSES, SQUARED_ERROR, Loss
from backends.names import Library, Name, first_line, libraries
from backends.problem import Problem


@dataclass(frozen=True)
class Entry:
    """A backend, and the reason why it cannot run on this machine ("" if it can)."""

    name: Name
    reason: str = ""

    @property
    def available(self) -> bool:
        """Return whether the backend can run on this machine now."""
        return not self.reason

    def as_dict(self, note: str = "") -> dict[str, str | bool | None]:
        """Return the entry's fields for JSON; `note` says why the backend is slow here."""
        return {
            "backend": str(self.name),
            "library": self.name.library,
            "technique": self.name.technique,
            "device": self.name.device,
            "available": self.available,
            "reason": self.reason or None,
            "note": note or None,
        }


def entries(patterns: Iterable[str] = ("*",), loss: Loss = SQUARED_ERROR) -> list[Entry]:
    """Return all backends of every library that a pattern names.

    Only the library part of a pattern counts: for ``torch:gram``, all backends of torch are
    returned. Libraries that no pattern names are not imported. The field `reason` says why a
    backend cannot run here or does not work for `loss`.
    """
    return [
        replace(entry, reason=entry.reason or reason_against(entry.name, loss))
        for library in libraries().values()
        if any(fnmatch.fnmatch(library.name, _library_part(p)) for p in patterns)
        for entry in _entries_of(library)
    ]


def reason_against(name: Name, loss: Loss) -> str:
    """Return the reason why a backend does not work for a loss ("" if it works)."""
    library = libraries()[name.library]
    if loss == SQUARED_ERROR or name.technique in library.by_value:
        return ""
    if name.least_squares_only:
        return f"XᵀX and Xᵀy replace the rows for squared_error only, not for {loss.name}"
    if name.technique not in library.by_slope:
        return f"works for squared_error only, not for {loss.name}"
    if loss.slope is None:
        return (
            f"needs a slope, which {loss.name} does not define; "
            f"these differentiate its value: {', '.join(_differentiating())}"
        )
    return _refusal(name, loss)


def _refusal(name: Name, loss: Loss) -> str:
    """Return the reason why a library cannot run a user's loss ("" if it can)."""
    if loss in LOSSES.values():
        return ""
    try:
        refusal = getattr(load(libraries()[name.library]), "refusal", None)
    except MissingLibraryError:
        return ""
    return cast(str, refusal(name.technique, loss)) if refusal else ""


def _differentiating() -> list[str]:
    """Return the names of the backends that compute a loss's slope with autograd."""
    known = libraries().values()
    return [str(Name(library.name, t)) for library in known for t in library.by_value]


def _library_part(pattern: str) -> str:
    head = pattern.partition("@")[0].partition(":")[0]
    return head or "*"


def matches(name: Name, pattern: str) -> bool:
    """Return whether a name matches a pattern.

    A pattern without ``@device`` matches a backend on every device.
    """
    backend, _, device = pattern.partition("@")
    return fnmatch.fnmatch(
        str(Name(name.library, name.technique)), backend or "*"
    ) and fnmatch.fnmatch(name.device, device or "*")


def _entries_of(library: Library) -> Iterator[Entry]:
    try:
        found = {technique: devices(library, technique) for technique in library.techniques}
    except MissingLibraryError as error:
        found = {technique: {"cpu": str(error)} for technique in library.techniques}
    for technique, listed in found.items():
        for device, reason in listed.items():
            yield Entry(Name(library.name, technique, device), reason)


def select(
    patterns: Iterable[str], devices: Iterable[str] = (), loss: Loss = SQUARED_ERROR
) -> list[Name]:
    """Return the backends that match the patterns, in the order of the patterns.

    A pattern is a backend's name, such as ``torch:gram``, or a shell pattern, such as
    ``torch*``. A backend that is named must be able to run here. A shell pattern selects only
    backends that can run here. No backend is returned twice.

    If `devices` are given, only backends on these devices are returned. For example, the name
    ``torch`` with the devices ``cpu`` and ``cuda`` selects ``torch@cpu`` and ``torch@cuda``.

    Raises
    ------
    BackendError
        A name is unknown, a named backend cannot run here, or nothing is selected. Every shell
        pattern must match at least one backend that can run here.
    """
    chosen: dict[Name, None] = {}
    devices = list(devices)
    for pattern in patterns:
        if not any(c in pattern for c in "*?["):
            named = Name.parse(pattern)
            there = [] if "@" in pattern else [replace(named, device=d) for d in devices]
            chosen |= {check(name, loss): None for name in there or [named]}
            continue
        matching = [e for e in entries([pattern], loss) if matches(e.name, pattern)]
        found = [entry.name for entry in matching if entry.available]
        if not found:
            reasons = "; ".join(dict.fromkeys(entry.reason for entry in matching))
            why = f": {reasons}" if reasons else ""
            raise BackendError(f"no backend that can run here matches {pattern!r}{why}")
        chosen |= dict.fromkeys(found)
    kept = [name for name in chosen if not devices or name.device in devices]
    if devices and not kept:
        raise BackendError(f"no backend runs on {', '.join(devices)} here")
    return kept


def unavailable(patterns: Iterable[str], loss: Loss = SQUARED_ERROR) -> dict[str, str]:
    """Return the backends that match a pattern but cannot run here, each with the reason."""
    patterns = list(patterns)
    return {
        str(entry.name): entry.reason
        for entry in entries(patterns, loss)
        if not entry.available and any(matches(entry.name, p) for p in patterns)
    }


def check_installed(library: Library) -> None:
    """Check that a library is installed and safe to import in this process.

    Some environment variables can end the process that imports the library. If one of these
    variables (`Library.risky`) is set, a child process first imports the library.

    Raises
    ------
    MissingLibraryError
        The library is not installed, or the import in the child process failed.
    """
    if importlib.util.find_spec(library.imports) is None:
        raise MissingLibraryError(f"{library.name} is not installed: {library.install}")
    if library.module not in sys.modules:
        probe.check_first(library)


def load(library: Library, module: str = "") -> ModuleType:
    """Import and return a module of a library, by default ``library.module``.

    Raises
    ------
    MissingLibraryError
        The library is not installed or does not start.
    """
    check_installed(library)
    try:
        return importlib.import_module(module or library.module)
    except Exception as error:  # an OSError if a shared library is missing, or anything else
        raise probe.failure(library, first_line(error), "import") from error


def devices(library: Library, technique: str = "") -> Mapping[str, str]:
    """Return whether each device of a technique can be used.

    The keys are the names of the devices. The values are "" for a device that can be used, and
    otherwise the reason why the device cannot be used.

    Raises
    ------
    MissingLibraryError
        The library is not installed or does not start.
    """
    listed = getattr(load(library), "devices", None)
    if listed is None:
        return {"cpu": ""}
    try:
        return cast(Mapping[str, str], listed(technique))
    except Exception as error:  # a library whose devices do not answer may raise anything
        raise probe.failure(library, first_line(error)) from error


def check(name: Name, loss: Loss = SQUARED_ERROR) -> Name:
    """Return `name` if the backend can run here and works for the loss.

    Raises
    ------
    MissingLibraryError
        The library is not installed or does not start.
    DeviceError
        This machine does not have the device, or the technique does not support it.
    BackendError
        The device exists, but the backend cannot run on it or does not work for the loss.
    """
    found = devices(libraries()[name.library], name.technique)
    if name.device not in found:
        usable = ", ".join(d for d, reason in found.items() if not reason) or "none"
        raise DeviceError(
            f"{Name(name.library, name.technique)} has no device {name.device!r} here; "
            f"there is: {usable}"
        )
    if found[name.device]:
        raise BackendError(f"{name} cannot run here: {found[name.device]}")
    check_loss(name, loss)
    return name


def check_loss(name: Name, loss: Loss) -> None:
    """Raise BackendError if a backend does not work for a loss."""
    if reason := reason_against(name, loss):
        raise BackendError(f"{name}: {reason}")


def note(name: Name, loss: Loss = SQUARED_ERROR) -> str:
    """Return one line that says why a backend is slower here than it could be, or ""."""
    noted = getattr(load(libraries()[name.library]), "note", None)
    return cast(str, noted(name.technique, name.device, loss)) if noted else ""


@dataclass(frozen=True)
class _Opened:
    """A backend whose library is imported. The class implements the protocol `Backend`."""

    name: str
    device: str
    technique: Place
    module: ModuleType

    @property
    def reads_pairs(self) -> bool:
        """Return whether the technique is as fast on interleaved (x, y) pairs as on arrays."""
        return getattr(self.technique, "reads_pairs", False)

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        if problem.loss != SQUARED_ERROR:
            check_loss(Name.parse(self.name), problem.loss)
        return self.technique(problem, learning_rate, self.device)

    def peak_device_bytes(self) -> int | None:
        peak = getattr(self.module, "peak_device_bytes", None)
        return cast("int | None", peak(self.device)) if peak else None


def open_backend(name: str | Name) -> Backend:
    """Import a backend's library, and return the backend.

    Raises
    ------
    BackendError
        The name is unknown, or the backend cannot run here.
    MissingLibraryError
        The library is not installed, or it cannot be imported.
    DeviceError
        This machine does not have the device.
    """
    parsed = check(name if isinstance(name, Name) else Name.parse(name))
    library = libraries()[parsed.library]
    module, attribute = library.place_of(parsed.technique)
    technique: Place | None = getattr(load(library, module), attribute, None)
    if technique is None:
        raise BackendError(
            f"{parsed}: the module {module} has no {attribute}, which the techniques of the "
            f"library {library.name} name"
        )
    return _Opened(str(parsed), parsed.device, technique, load(library))
