"""Write a fit to a model file, read the file, and predict with the model.

A model contains all that a prediction needs: the weights by column name, the intercept and the
loss. It also records the scaling, the data, the descent and the software's versions. Only
`write_model` and `read_model` access files.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import DescentbenchError, Weights
from backends.losses import LOG_LOSS, POISSON
from bench.fit.scaling import Scaling, finite
from bench.host.files import write_atomically

FORMAT = "descentbench model 1"
"""Value of the field ``format`` in model files; the number is the version of the format."""


class ModelError(DescentbenchError):
    """A file is not a model, is damaged, or cannot be written."""


@dataclass(frozen=True)
class Response:
    """How a prediction of y is computed from ``p = x·w + intercept``, for one loss.

    Attributes
    ----------
    name : str
        Name of the column of predictions in the output of ``predict``.
    of : callable
        Function that turns an array of p (float64) into predictions of y.
    """

    name: str
    of: Callable[[Weights], Weights]


def _sigmoid(p: Weights) -> Weights:
    small = np.exp(-np.abs(p))  # at most 1
    return np.where(p >= 0, 1 / (1 + small), small / (1 + small))


def _exp(p: Weights) -> Weights:
    with np.errstate(over="ignore"):  # a rate beyond float64 is infinite
        return np.asarray(np.exp(p))


RESPONSES = {
    LOG_LOSS.name: Response("probability_of_1", _sigmoid),
    POISSON.name: Response("rate", _exp),
}
"""How predictions are computed for log_loss and poisson, by the name of the loss. log_loss
predicts the probability that y is 1, and poisson predicts the expected count."""

LINEAR = Response("prediction", lambda p: p)
"""The prediction for losses that are not in `RESPONSES`: x·w + intercept."""


@dataclass(frozen=True)
class Model:
    """A fitted model ``p = x·w + intercept`` in the units of the data.

    Attributes
    ----------
    columns : tuple of str
        Names of the features; ``"0"``, ``"1"``, … if the data have no names.
    weights : tuple of float
        A weight for each column, in the units of the data.
    intercept : float, optional
        None for a model without an intercept.
    loss : str
        Name of the loss that was minimised.
    scaling : Scaling, optional
        How the columns were centred and scaled during the descent; None if they were not.
    source : dict
        Where the rows came from: path, files, target column, number of rows.
    fit : dict
        How the model was fitted: backend, dtype, learning rate, number of steps and so on.
    versions : dict
        Versions of Python and of the libraries.
    """

    columns: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float | None
    loss: str
    scaling: Scaling | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def response(self) -> Response:
        """The `Response` of the model's loss: it turns ``x·w + intercept`` into predictions."""
        return RESPONSES.get(self.loss, LINEAR)

    def linear(self, x: ArrayLike) -> Weights:
        """Return ``p = x·w + intercept`` in float64 for rows x of shape (n, d)."""
        rows = np.asarray(x, dtype=np.float64).reshape(-1, len(self.weights))
        return np.asarray(rows @ np.asarray(self.weights) + (self.intercept or 0.0))

    def predict(self, x: ArrayLike) -> Weights:
        """Return the predictions of y for rows x of shape (n, d).

        For log_loss, a prediction is the probability that y is 1. For poisson, it is the
        expected count. For any other loss, it is ``x·w + intercept``.
        """
        return self.response.of(self.linear(x))

    def text(self) -> str:
        """Return the model as JSON."""
        document: dict[str, Any] = {"format": FORMAT} | asdict(self)
        document["columns"] = list(self.columns)
        document["weights"] = dict(zip(self.columns, self.weights, strict=True))
        return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def versions(library: str) -> dict[str, str]:
    """Return the versions of Python, descentbench, NumPy and the backend's library."""
    found = {"python": platform.python_version()}
    for name in ("descentbench", "numpy", library):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_writable(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise ModelError if the file cannot be written; call this before a long descent.

    Parameters
    ----------
    path : Path
    inputs : iterable of Path
        Input files, which the model must not overwrite.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not os.access(folder, os.W_OK) or not folder.is_dir():
        raise ModelError(f"cannot write {path}: it is a folder, or its folder is not writable")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise ModelError(f"cannot write {path}: it is an input; choose another file")


def write_model(path: Path, model: Model) -> None:
    """Write the model to a file, atomically."""
    write_atomically(path, model.text())


def read_model(path: Path) -> Model:
    """Read a file that `write_model` wrote.

    Raises
    ------
    ModelError
        The file cannot be read, is not a model, or was damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except (RecursionError, ValueError):
        raise ModelError(f"{path} is not a model: the text is not JSON") from None
    kind = document.get("format") if isinstance(document, dict) else None
    if kind != FORMAT:
        found = f"its format is {kind!r}" if kind else "it has no field 'format'"
        raise ModelError(
            f"{path} is not a model that this version reads: {found}, not {FORMAT!r} "
            "(fit --output writes one)"
        )
    try:
        return _model(document)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        field_name = f"there is no field {error}" if isinstance(error, KeyError) else error
        raise ModelError(f"{path} is a damaged model: {field_name}") from None


def _model(raw: dict[str, Any]) -> Model:
    """Return the model of a JSON document; raise ValueError if it is not a model."""
    columns, weights = raw["columns"], raw["weights"]
    if not isinstance(columns, list) or not all(isinstance(c, str) for c in columns):
        raise ValueError("its columns are not names")
    if not columns or len(set(columns)) < len(columns):
        raise ValueError("there are no columns, or two columns have the same name")
    if not isinstance(weights, dict) or set(weights) != set(columns):
        raise ValueError("its weights have other names than its columns")
    if not isinstance(raw["loss"], str):
        raise ValueError("its loss is not a name")  # noqa: TRY004 one kind of error
    intercept = raw["intercept"]
    return Model(
        tuple(columns),
        finite([weights[c] for c in columns], "weights"),
        None if intercept is None else finite([intercept], "intercept")[0],
        raw["loss"],
        _scaling(raw.get("scaling"), len(columns)),
        *(_mapping(raw.get(name), name) for name in ("source", "fit", "versions")),
    )


def _scaling(raw: Any, features: int) -> Scaling | None:
    if raw is None:
        return None
    scaling = Scaling.from_fields(_mapping(raw, "scaling"))
    if scaling.features != features:
        raise ValueError("its scaling has another number of columns")
    return scaling


def _mapping(raw: Any, name: str) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ValueError(f"its {name} is not an object")  # noqa: TRY004 one kind of error
    return raw
