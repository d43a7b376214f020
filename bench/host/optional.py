"""Import libraries that only some commands need."""

from __future__ import annotations

import importlib

from backends.errors import MissingLibraryError


def need(module: str, purpose: str) -> None:
    """Import `module`, or raise an error that says how to install its library.

    `purpose` begins the message: "`purpose` needs `library`, which is not installed".

    Raises
    ------
    MissingLibraryError
        The library is not installed, or cannot be imported.
    """
    library = module.partition(".")[0]
    try:
        importlib.import_module(library)
        importlib.import_module(module)
    except Exception as error:  # an OSError if a shared library is missing, for example
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            wrong, remedy = "is not installed", f"pip install {library}"
        else:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            wrong = f"does not import ({line})"
            remedy = f"pip install --force-reinstall {library}"
        raise MissingLibraryError(
            f"{purpose} needs {library}, which {wrong}: {remedy}"
        ) from error
