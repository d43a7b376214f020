"""The names of backends: a library, a technique and a device."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from backends.errors import BackendError

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


ENTRY_POINT_GROUP = "descentbench.backends"


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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
