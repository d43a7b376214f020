"""Techniques that use NumPy: the gradient is derived by hand."""

from backends.numpy.blocked import Blocked
from backends.numpy.gram import Gram
from backends.numpy.plain import Plain

__all__ = ["Blocked", "Gram", "Plain"]
