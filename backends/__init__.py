"""Gradient descent, implemented with several array libraries.

Importing this package loads only NumPy. An array library is imported when one of its backends
is opened.

>>> from backends import generate, open_backend
>>> problem = generate(100)
>>> descent = open_backend("numpy").place(problem, learning_rate=0.001)
>>> w = descent.run([0.0], steps=100)
"""

from backends.catalogue import open_backend
from backends.errors import (
    BackendError,
    DescentbenchError,
    DeviceError,
    MissingLibraryError,
    ProblemError,
)
from backends.interface import Backend, Descent
from backends.problem import Problem
from backends.reference import Reference
from backends.synthetic import generate

__all__ = [
    "Backend",
    "BackendError",
    "Descent",
    "DescentbenchError",
    "DeviceError",
    "MissingLibraryError",
    "Problem",
    "ProblemError",
    "Reference",
    "generate",
    "open_backend",
]
