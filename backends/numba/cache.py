"""Numba's cache on disk: a folder for it, and types that notice every edit of this package."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from numba import config, njit, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

FOLDER = Path(__file__).parent

SOURCES = hashlib.sha256(
    b"\0".join(path.read_bytes() for path in sorted(FOLDER.glob("*.py")))
).hexdigest()[:16]
"""Hash of this package's files. Numba itself notices only an edit of the file that defines
the function which Python calls; this hash is part of an argument's type instead."""


def provide_folder() -> None:
    """Give Numba a temporary cache folder if it can write to none of its own.

    Numba's folder for a user without a home would be one called ``~`` where we are.
    """
    try:
        Path.home()
        homeless = False
    except RuntimeError:
        homeless = True
    try:
        if config.CACHE_DIR or not homeless or os.access(FOLDER, os.W_OK):
            njit(cache=True)(provide_folder)  # compiles nothing, but looks for a folder
            return
    except RuntimeError:
        pass
    folder = tempfile.mkdtemp(prefix="descentbench-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    config.reload_config()


class Known:
    """A value that the compiler knows, because the name of its Numba type holds its key.

    Pass it to a compiled function as an argument: each key compiles its own code. The
    attributes of such an argument are constants: a loop of so many turns is unrolled, and
    a branch not taken is left out.
    """

    by_key: ClassVar[dict[str, Known]] = {}

    def __init__(self, key: str, **attributes: Any) -> None:
        self.key, self.attributes = f"{key}, {SOURCES}", attributes
        self.numba_type = KnownType(self.key)
        self.by_key[self.key] = self


class KnownType(types.Type):
    """The Numba type of a `Known`; its name alone is stored in the cache."""

    def __init__(self, key: str) -> None:
        self.known_key = key
        super().__init__(name=f"Known({key})")

    @property
    def value(self) -> Known:
        return Known.by_key[self.known_key]


@typeof_impl.register(Known)
def _typeof(value, _):
    return value.numba_type


register_model(KnownType)(models.OpaqueModel)


@unbox(KnownType)
def _unbox(_type, _value, c):
    return NativeValue(c.context.get_dummy_value())


@infer_getattr
class _Attributes(AttributeTemplate):
    key = KnownType

    def generic_resolve(self, known, name):
        return types.literal(known.value.attributes[name])


@lower_getattr_generic(KnownType)
def _attribute(context, builder, known, _value, name):
    constant = known.value.attributes[name]
    return context.get_constant_generic(builder, types.literal(constant), constant)


PACKAGE = Known("package")
"""An argument for cached functions that need no other `Known`."""

provide_folder()
