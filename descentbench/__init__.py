"""Use descentbench from Python: fit arrays, pick a backend, read results.

Importing this package imports NumPy. Any other array library is imported only when one of its
backends is opened. The package prints nothing; messages go to the logger "descentbench". An
error that a caller can correct is a `DescentbenchError` with a message of one line.

>>> import descentbench
>>> fitted = descentbench.fit([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], backend="numpy")
>>> print(f"{fitted.w[0]:.3f}")
2.000
"""

from backends import (
    Backend,
    BackendError,
    Descent,
    DescentbenchError,
    DeviceError,
    MissingLibraryError,
    Problem,
    ProblemError,
    generate,
    open_backend,
)
from backends.losses import Loss
from bench.fit.rate import DivergenceError
from descentbench.fitted import FitResult, read_model
from descentbench.fitting import fit
from descentbench.listings import backends, results
from descentbench.picking import PickResult, pick

__all__ = [
    "Backend",
    "BackendError",
    "Descent",
    "DescentbenchError",
    "DeviceError",
    "DivergenceError",
    "FitResult",
    "Loss",
    "MissingLibraryError",
    "PickResult",
    "Problem",
    "ProblemError",
    "backends",
    "fit",
    "generate",
    "open_backend",
    "pick",
    "read_model",
    "results",
]
