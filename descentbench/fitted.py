"""Define the result of a fit, which can predict and can be saved to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.errors import ProblemError
from backends.names import Name
from descentbench.arrays import check_names, features_of

if TYPE_CHECKING:
    from os import PathLike

    from backends.errors import Weights
    from bench.fit.excess import Excess
    from bench.fit.model import Model
    from bench.fit.scaling import Scaling

Stopped = Literal["steps", "loss", "tolerance"]


@dataclass(frozen=True, eq=False)
class FitResult:
    """The result of `fit`; w and the intercept are in the units of the data.

    Attributes
    ----------
    backend : str
        Name of the backend that ran.
    w : float64 array of shape (d,)
        One weight for each feature.
    intercept : float
        0 for a fit without an intercept.
    loss : float
        Mean loss over all rows at w.
    loss_name : str
        Name of the loss.
    steps : int
        Steps taken.
    stopped : {"steps", "loss", "tolerance"}
        Why the descent stopped. "steps": all steps were taken. "loss": at a report, the loss
        was at most `until_loss`. "tolerance": at a report, the gradient's norm was at most
        `tolerance` times the norm of the first gradient.
    learning_rate : float
        Learning rate of the descent. With `standardize`, it is the rate for the scaled columns.
    columns : tuple of str or None
        Names of the features; None if x had no names.
    target : str or None
        Name of the target; None if y had no name.
    rows, features : int
        Numbers of rows and of features.
    dtype : str
        dtype of the data that the descent read, "float32" or "float64".
    scaling : bench.fit.scaling.Scaling or None
        How x was scaled for the descent; None if the descent read x as it is.
    excess : bench.fit.excess.Excess or None
        How far the loss is above its minimum, and how many further steps would bring it close
        to the minimum. It is computed only for squared error with at most 256 features. It is
        None if `tolerance` or `until_loss` stopped the descent, or if computing it would take
        another pass over the rows.
    table : list of dict
        One dict for every report, with the keys ``step``, ``loss``, ``w`` (a list) and
        ``intercept``.
    """

    backend: str
    w: Weights
    intercept: float
    loss: float
    loss_name: str
    steps: int
    stopped: Stopped
    learning_rate: float
    columns: tuple[str, ...] | None
    target: str | None
    rows: int
    features: int
    dtype: str
    scaling: Scaling | None
    excess: Excess | None
    table: list[dict[str, Any]]

    def predict(self, x: object) -> Weights:
        """Return predictions of the target for the rows of an array or a table.

        The result is a float64 array of shape (n,).

        For log_loss, a prediction is the probability that y is 1. For poisson, it is the
        expected count. For any other loss, it is the linear prediction (`linear`).

        Raises
        ------
        ProblemError
            See `linear`.
        """
        return self.model.response.of(self.linear(x))

    def linear(self, x: object) -> Weights:
        """Return the linear predictions ``x·w + intercept`` as a float64 array of shape (n,).

        To predict a single row, pass an array of shape (1, d).

        Raises
        ------
        ProblemError
            The number of features or the names of the columns are not those of the fit.
        """
        given = features_of(x)
        check_names(self.columns, given.names)
        values = given.values
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        if values.shape[1] != self.features:
            raise ProblemError(
                f"x has {values.shape[1]} features, but the fit has {self.features}"
            )
        return np.asarray(values @ self.w + self.intercept, np.float64)

    @property
    def model(self) -> Model:
        """The columns, weights, intercept and scaling, as in the file of ``fit --output``."""
        from bench.fit.model import Model, versions

        descent = ("backend", "dtype", "learning_rate", "steps", "stopped", "loss")
        return Model(
            columns=self.columns or tuple(map(str, range(self.features))),
            weights=tuple(self.w.tolist()),
            intercept=self.intercept if self.scaling and self.scaling.intercept else None,
            loss=self.loss_name,
            scaling=self.scaling,
            source={"target": self.target, "rows": self.rows},
            fit={name: getattr(self, name) for name in descent},
            versions=versions(Name.parse(self.backend).library),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a JSON file for `read_model` and ``descentbench predict``.

        Raises
        ------
        DescentbenchError
            The file cannot be written.
        """
        from bench.fit.model import write_model

        write_model(Path(path), self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields except `scaling`, as numbers, texts, lists and dicts for JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["scaling"]
        columns = None if self.columns is None else list(self.columns)
        excess = self.excess and self.excess.fields()
        return fields | {"w": self.w.tolist(), "columns": columns, "excess": excess}


def read_model(path: str | PathLike[str]) -> Model:
    """Return the model in a file that `FitResult.save` or ``fit --output`` wrote.

    Raises
    ------
    DescentbenchError
        The file cannot be read, or is not a model.
    """
    from bench.fit import model

    return model.read_model(Path(path))
