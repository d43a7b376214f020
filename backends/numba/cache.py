"""Give Numba's disk cache a folder, and make Numba compile again after each code change."""

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
"""Hash of all Python files of this package. Each `Known` object (constants for compiled
functions) contains this hash. After an edit of any file, Numba therefore compiles every
function with a `Known` argument again."""


def provide_folder() -> None:
    """Give Numba a temporary cache folder if it cannot write to any of its default folders.

    A user without a home directory gets a temporary folder, too. Numba would otherwise create a
    folder called ``~`` in the current directory.
    """
    try:
        Path.home()
        homeless = False
    except RuntimeError:
        homeless = True
    try:
        if config.CACHE_DIR or not homeless or os.access(FOLDER, os.W_OK):
            njit(cache=True)(provide_folder)  # looks for a folder without compiling
            return
    except RuntimeError:
        pass
    folder = tempfile.mkdtemp(prefix="descentbench-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    config.reload_config()


class Known:
    """Constants for the compiler, passed to a compiled function as an argument.

    The parameter `key` is a text that identifies the constants. Numba compiles a function
    separately for each key. In the compiled code, the attributes are constants, so the compiler
    can unroll loops and leave out branches.
    """

    by_key: ClassVar[dict[str, Known]] = {}

    def __init__(self, key: str, **attributes: Any) -> None:
        self.key, self.attributes = f"{key}, {SOURCES}", attributes
        self.numba_type = KnownType(self.key)
        self.by_key[self.key] = self


class KnownType(types.Type):
    """The Numba type of a `Known` argument; the type's name contains the argument's key."""

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
"""Argument that makes Numba compile a function again after an edit of this package. The
argument's type contains the hash `SOURCES`."""

provide_folder()
