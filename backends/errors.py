"""The errors that a user can correct, and the type of w."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
"""Type of w where a backend takes or returns it: float64, (d,), for data of any dtype."""


class DescentbenchError(Exception):
    """An error that a user can correct: one line says what is wrong, where, and what to do."""


class ProblemError(DescentbenchError):
    """The data cannot be used as they are."""


class BackendError(DescentbenchError):
    """No such backend, or it cannot run here."""


class MissingLibraryError(BackendError):
    """The backend's library is not installed, or does not start."""


class DeviceError(BackendError):
    """The requested device does not exist here."""
