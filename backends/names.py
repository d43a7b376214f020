"""The names of backends: a library, a technique and a device."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from backends.errors import BackendError

GRAM = "gram"
"""Name of the technique that computes with XᵀX and Xᵀy in place of the rows.

The name is the same in every library. The technique works for squared error only."""


@dataclass(frozen=True)
class Library:
    """A library, its techniques, and the classes that implement the techniques.

    Nothing is imported until a backend of the library is opened or its devices are listed.

    Attributes
    ----------
    name : str
        The library's part of a backend's name.
    module : str
        Name of the main Python module for this library. The main module is imported before the
        modules of the techniques. It can define four functions:

        - ``devices(technique)`` returns a dict. The keys are names of devices. A value is "" if
          the device can be used, and otherwise the reason why it cannot be used. Without this
          function, the CPU is the only device.
        - ``peak_device_bytes(device)`` returns this process's peak memory on the device in
          bytes, or None for the CPU.
        - ``note(technique, device, loss)`` returns why a technique is slow here, or "".
        - ``refusal(technique, loss)`` returns why a technique cannot run a user's loss, or "".
    techniques : mapping of str to str
        The class of each technique: ``"module:Class"``, or ``"Class"`` for a class in `module`.
        The default technique has the empty name. `interface.Place` describes the parameters of
        each class.
    needs : str
        Import name of the library; by default `name`.
    install : str
        The command that installs the library.
    variables : tuple of str
        Environment variables that can cause an error when the library starts. Each name can
        contain ``*``, as in ``JAX_*``.
    risky : tuple of str
        Environment variables that can end the process, or make it hang, when the library
        starts. If one of these is set, the library is first started in a child process.
    distributed : bool
        If true, the backends run in other processes. These backends accept rows that are not in
        memory (a `Source`) in place of a `Problem`.
    caches : tuple of str
        Environment variables that name the folders for compiled code. To time a first call, new
        folders are used, so that the code of an earlier process is not found.
    by_slope : tuple of str
        Techniques that work for every loss whose optional field `slope` is given.
    by_value : tuple of str
        Techniques that compute the slope with autograd and therefore work for every loss. A
        technique that is neither in `by_slope` nor in `by_value` works for squared error only.
    """

    name: str
    module: str
    techniques: Mapping[str, str] = field(default_factory=lambda: {"": "Plain"}, hash=False)
    needs: str = ""
    install: str = ""
    distributed: bool = False
    variables: tuple[str, ...] = ()
    risky: tuple[str, ...] = ()
    by_slope: tuple[str, ...] = ()
    by_value: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.techniques, Mapping) or "" not in self.techniques:
            raise TypeError(
                f"the techniques of {self.name} must map '' and other names to their classes, "
                f'as in {{"": "Plain"}}, not {self.techniques!r}'
            )

    @property
    def imports(self) -> str:
        """Name of the library's top-level module, whose import is timed."""
        return self.needs or self.name

    def place_of(self, technique: str) -> tuple[str, str]:
        """Return the module and the class name of a technique."""
        module, _, attribute = self.techniques[technique].rpartition(":")
        return module or self.module, attribute


@dataclass(frozen=True)
class Name:
    """The parts of a backend's name, ``library[:technique][@device]``."""

    library: str
    technique: str = ""
    device: str = "cpu"

    @classmethod
    def parse(cls, text: str) -> Name:
        """Split a backend's name into its parts.

        Raises
        ------
        BackendError
            The library or the technique is unknown. The device is not checked.
        """
        rest, _, device = text.strip().partition("@")
        library, _, technique = rest.partition(":")
        known = libraries()
        if library not in known or technique not in known[library].techniques:
            raise BackendError(_unknown(rest))
        return cls(library, technique, device or "cpu")

    @property
    def distributed(self) -> bool:
        """Return whether the backend runs on the workers of a cluster."""
        return libraries()[self.library].distributed

    @property
    def least_squares_only(self) -> bool:
        """Return whether the technique is `GRAM`, which works for squared error only."""
        return self.technique == GRAM

    def __str__(self) -> str:
        technique = f":{self.technique}" if self.technique else ""
        device = f"@{self.device}" if self.device != "cpu" else ""
        return f"{self.library}{technique}{device}"


def _unknown(text: str) -> str:
    names = [
        str(Name(library.name, technique))
        for library in libraries().values()
        for technique in library.techniques
    ]
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return f"unknown backend {text!r}; {hint}"


ENTRY_POINT_GROUP = "descentbench.backends"
"""Entry-point group in which an installed package declares a `Library`."""

BUILT_IN = (
    Library(
        "numpy",
        "backends.numpy",
        {
            "": "backends.numpy.plain:Plain",
            "blocked": "backends.numpy.blocked:Blocked",
            "gram": "backends.numpy.gram:Gram",
        },
        by_slope=("", "blocked"),
        install="pip install numpy",
    ),
    Library(
        "numba",
        "backends.numba",
        {
            "": "backends.numba.plain:Plain",
            "parallel": "backends.numba.parallel:Parallel",
            "gram": "backends.numba.gram:Gram",
        },
        by_slope=("", "parallel"),
        install="pip install numba",
        variables=("NUMBA_*",),
        caches=("NUMBA_CACHE_DIR",),
    ),
    Library(
        "torch",
        "backends.torch.devices",
        {
            "": "backends.torch.autograd:Autograd",
            "analytic": "backends.torch.analytic:by_hand",
            "compile": "backends.torch.compiled:Compiled",
            "graph": "backends.torch.graph:Graph",
            "gram": "backends.torch.gram:Gram",
        },
        by_slope=("analytic",),
        by_value=("", "compile", "graph"),
        install="pip install torch",
        variables=("TORCH*", "PYTORCH*"),
        caches=("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"),
    ),
    Library(
        "jax",
        "backends.jax.devices",
        {
            "": "backends.jax.loop:PerStep",
            "loop": "backends.jax.onepass:loop",
            "blocked": "backends.jax.blocked:Blocked",
            "gram": "backends.jax.gram:Gram",
        },
        by_value=("", "loop", "blocked"),
        install="pip install jax",
        variables=("JAX_*", "XLA_*", "PJRT_*", "*TPU*"),
        risky=("JAX_PLATFORM*", "XLA_FLAGS", "LIBTPU_INIT_ARGS"),
        caches=("TRITON_CACHE_DIR",),
    ),
    Library(
        "dask",
        "backends.dask.devices",
        {
            "": "backends.dask.arrays:Arrays",
            "numpy": "backends.dask.ranks:NumpyRanks",
            "numba": "backends.dask.ranks:NumbaRanks",
            "torch": "backends.dask.ranks:TorchRanks",
            "jax": "backends.dask.ranks:JaxRanks",
        },
        by_slope=("", "numpy", "numba", "torch"),
        by_value=("jax",),
        needs="distributed",
        variables=("DASK_*",),
        install="pip install distributed 'dask[array]'",
        distributed=True,
    ),
)
"""The libraries whose backends are part of this package. The command ``backends`` lists them in
this order."""


_registered: dict[str, Library] = {}


def register(library: Library) -> None:
    """Add a library for the rest of this process.

    An entry point (`ENTRY_POINT_GROUP`) adds a library for all processes.
    """
    _registered[library.name] = library


def unregister(name: str) -> None:
    """Remove a library that `register` added."""
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
            f"({first_line(error)}); repair the package or uninstall it"
        ) from error


def libraries() -> dict[str, Library]:
    """Return all libraries by name: built-in, declared by entry points, and registered."""
    known = (*BUILT_IN, *_from_entry_points(), *_registered.values())
    return {library.name: library for library in known}


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
