"""Errors that a user can correct, and the type of the weights w of a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
"""Type of the weights w that a backend takes or returns: float64 of shape (d,), whatever the
dtype of the data."""


class DescentbenchError(Exception):
    """An error that a user can correct: one line says what is wrong, where, and what to do."""


class ProblemError(DescentbenchError):
    """The data or the loss cannot be used."""


class BackendError(DescentbenchError):
    """The backend does not exist, or cannot run here."""


class MissingLibraryError(BackendError):
    """The backend's library is not installed, or does not start."""


class DeviceError(BackendError):
    """The requested device does not exist here."""
