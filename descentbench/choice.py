"""Choose the backend for ``backend="auto"`` of `fit`.

The choice follows from stored measurements. If there are none, a default backend is chosen.
Nothing is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import BackendError
from backends.losses import SQUARED_ERROR
from backends.problem import DTYPES
from descentbench.log import LOG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.losses import Loss
    from bench.pick.recommend import Request
    from bench.results.record import Record

AUTO = "auto"
"""With ``backend="auto"``, the function `backend_for` chooses the backend."""

DIFFERENTIATING = ("jax:loop", "torch")
"""Default backends for a loss without a slope (the derivative of the loss). The first backend
whose library is installed is used."""


def backend_for(
    rows: int, features: Sequence[int], steps: int, dtype: str, loss: Loss, store: Path
) -> str:
    """Return the name of the backend that the stored measurements recommend, or the default.

    Nothing is measured and no library is imported. The log says which backend was chosen and
    why.

    Parameters
    ----------
    rows, steps : int
    features : sequence of int
        Numbers of features. Stored measurements with the first number are preferred. The first
        number includes the intercept, which costs as much as a feature.
    dtype : {"float32", "float64"}
    loss : Loss
    store : Path
        Folder of the stored results.
    """
    for count in dict.fromkeys(features):
        if found := _recommended(rows, count, steps, dtype, loss, store):
            LOG.info("backend auto: %s, from the measurements in %s", found, store)
            return found
    chosen = default_backend(features[0], steps, loss)
    LOG.info(
        "backend auto: %s, the default, because %s has no measurements of %d features, %s and "
        "%s on this machine (descentbench.pick measures them)",
        *(chosen, store, features[0], dtype, loss.name),
    )
    return chosen


def default_backend(features: int, steps: int, loss: Loss) -> str:
    """Return the name of the backend that is used without measurements.

    - Squared error, at least as many steps as features: ``numpy:gram``, which reads the rows
      only once.
    - Squared error, fewer steps than features: ``numpy:blocked``.
    - Any other loss with a slope: ``numpy:blocked``.
    - A loss without a slope: ``jax:loop``, or ``torch`` if JAX is not installed.

    Raises
    ------
    BackendError
        The loss has no slope, and neither JAX nor PyTorch is installed.
    """
    if loss == SQUARED_ERROR:
        return "numpy:gram" if features <= steps else "numpy:blocked"
    if loss.slope is not None:
        return "numpy:blocked"
    from importlib.util import find_spec

    from backends.names import Name, libraries

    for name in DIFFERENTIATING:
        if find_spec(libraries()[Name.parse(name).library].imports):
            return name
    raise BackendError(
        f"{loss.name} has no slope, and neither jax nor torch, which differentiate its value, "
        "is installed: give the loss a slope, or pip install jax"
    )


def _recommended(
    rows: int, features: int, steps: int, dtype: str, loss: Loss, store: Path
) -> str | None:
    """Return the backend that `pick` would recommend from the stored measurements alone.

    The result is None if the store has no usable measurements with this dtype, loss and number
    of features. Measurements of a backend are usable if both setup and steps were measured.
    """
    if dtype not in DTYPES or not any(store.glob("*.json")):
        return None
    from bench.host.limits import available_bytes
    from bench.host.machine import describe
    from bench.measure.version import code_version
    from bench.pick.known import Setting, know
    from bench.pick.observations import alike
    from bench.pick.question import Question, request_of
    from bench.pick.recommend import recommend
    from descentbench.picking import default_threads

    question = Question(
        rows=rows,
        features=features,
        iterations=steps,
        dtype=dtype,
        backends=("*",),
        devices=(),
        threads=default_threads(),
        store=store,
        loss=loss,
    )
    machine, code = describe(question.threads), code_version()
    request, description = request_of(question, machine), machine.as_dict()
    records = alike(store, description, code, loss.name)
    names = _measured(records, request)
    if not names:
        return None
    setting = Setting(
        *(request, names, description, code, question.threads, available_bytes()), missing={}
    )
    models = know(setting, records).models.values()
    sound = [model for model in models if not model.observations.failure]
    return recommend(sound, request, {}).pick


def _measured(records: Sequence[Record], request: Request) -> tuple[str, ...]:
    """Return the names of the backends with measurements for the request.

    A measurement must have the request's number of features and dtype. Baselines, and backends
    that run in other processes (dask), are left out.
    """
    from backends.names import Name
    from bench.results.case import BASELINES, Case, check_case

    found: dict[str, None] = {}
    for text in (text for record in records for text in record.request["rows"]):
        check_case(text)
        try:
            case = Case.parse(text)
        except BackendError:  # the backend's package is no longer installed
            continue
        if (case.features, case.dtype) != (request.features, request.dtype):
            continue
        if case.backend not in BASELINES and not Name.parse(case.backend).distributed:
            found[case.backend] = None
    return tuple(found)
