"""The exceptions that a user can mend, and the type of w."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


Weights = NDArray[np.float64]
"""w at the boundary: always float64 of shape (d,), whatever the data's dtype."""


class DescentbenchError(Exception):
    """A mistake a user can mend: one line that says what, where and what to do."""


class ProblemError(DescentbenchError):
    """The data cannot be used as they are."""


class BackendError(DescentbenchError):
    """No such backend, or it cannot run here."""


class MissingLibraryError(BackendError):
    """The backend's library is not installed, or does not start."""


class DeviceError(BackendError):
    """The device that was asked for is not there."""
