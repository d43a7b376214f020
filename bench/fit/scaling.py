"""Centre and scale columns, and convert weights back to the units of the data.

With an intercept, a descent has one more feature: a column of ones, whose weight is the
intercept. If the other columns are standardised, they have mean 0 and standard deviation 1.
This module computes in float64 and with NumPy only.

    columns = Columns.of(x, y)                   # one block; `merged` adds further blocks
    scaling = Scaling.of(columns, intercept=True, standardize=True, shift_target=True)
    weights = …                                  # descend over scaling.transform(x), y − target
    w, intercept = scaling.to_original(weights)  # x @ w + intercept predicts y

- Without an intercept, columns are scaled but not centred, because centring would add an
  intercept. Each column is divided by its root mean square.
- With an intercept, the mean of y is subtracted from y if the loss depends on ``p − y`` alone.
  In float32, the resulting smaller numbers keep more digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backends.errors import Weights
from backends.losses import HUBER, SQUARED_ERROR, Loss

Floats = NDArray[np.floating[Any]]

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""A column counts as constant if its range (largest − smallest value) is at most this fraction
of its largest |value|. Rounding in float64 causes such small ranges."""


def finite(values: Any, name: str) -> tuple[float, ...]:
    """Return a JSON array as floats; raise ValueError if a value is not a finite number."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} is not an array of numbers")  # noqa: TRY004 one kind of error
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(float(value)):
            raise ValueError(f"{name} holds {value!r}, which is not a finite number")
    return tuple(float(value) for value in values)


def may_shift_target(loss: Loss) -> bool:
    """Return whether the loss depends on ``p − y`` alone.

    If it does, subtracting the mean of y from y changes only the intercept.
    """
    return loss in (SQUARED_ERROR, HUBER)


@dataclass(frozen=True, eq=False)
class Columns:
    """Means, spreads and ranges of columns, from one pass over the rows.

    Attributes
    ----------
    rows : int
    mean, squares, low, high : arrays of shape (d,)
        For each column: the mean, the sum of the squared distances from the mean, the smallest
        value and the largest value.
    target : float
        Mean of y.
    """

    rows: int
    mean: Weights
    squares: Weights
    low: Weights
    high: Weights
    target: float

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Columns:
        """Return the statistics of the columns of x, and the mean of y.

        x has the shape (n,) or (n, d), and y the shape (n,). n is at least 1.
        """
        x = x.reshape(len(y), -1).astype(np.float64, copy=False)
        mean = (x / len(y)).sum(axis=0)  # dividing first cannot overflow
        with np.errstate(over="ignore"):  # `deviation` then uses the range
            squares = ((x - mean) ** 2).sum(axis=0)
        target = float(np.mean(y, dtype=np.float64))
        return cls(len(y), mean, squares, x.min(axis=0), x.max(axis=0), target)

    @classmethod
    def of_blocks(cls, blocks: Iterable[Columns]) -> Columns:
        """Return the statistics of all rows, given the statistics of consecutive blocks."""
        return reduce(cls.merged, blocks)

    def merged(self, other: Columns) -> Columns:
        """Return the statistics of all rows of `self` and `other`.

        The formula is from Chan, Golub and LeVeque (1979).
        """
        rows = self.rows + other.rows
        share = other.rows / rows
        apart = other.mean - self.mean
        with np.errstate(over="ignore"):
            between = apart**2 * (self.rows * share)
            squares = self.squares + other.squares + between
        return Columns(
            rows,
            self.mean + share * apart,
            squares,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.target + share * (other.target - self.target),
        )

    @property
    def constant(self) -> NDArray[np.bool_]:
        """For each column: True if all its values are equal, apart from rounding."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray(self.high / 2 - self.low / 2 <= ROUNDING / 2 * size)

    @property
    def deviation(self) -> Weights:
        """Standard deviation of each column.

        If the squares of a column overflow or underflow, half of the column's range is
        returned.
        """
        return self._root(self.squares / self.rows, self.high / 2 - self.low / 2)

    @property
    def root_mean_square(self) -> Weights:
        """Root mean square of each column.

        If the squares of a column overflow or underflow, its largest absolute value is
        returned.
        """
        with np.errstate(over="ignore"):
            squares = self.squares / self.rows + self.mean**2
        return self._root(squares, np.maximum(np.abs(self.low), np.abs(self.high)))

    def _root(self, squares: Weights, substitute: Weights) -> Weights:
        normal = (squares > np.finfo(np.float64).tiny) & np.isfinite(squares)
        return np.where(normal, np.sqrt(np.where(normal, squares, 1.0)), substitute)


@dataclass(frozen=True)
class Scaling:
    """Centres and scales columns, and converts weights back to the units of the data.

    Attributes
    ----------
    mean : tuple of float
        Number that is subtracted from each column; 0 for a column that is not centred.
    scale : tuple of float
        Positive number by which each column is divided after the subtraction; 1 for a column
        that is not scaled.
    intercept : bool
        Whether a column of ones is added at the end. Its weight is the last weight.
    target : float
        Number that is subtracted from y.
    standardized : bool
        Whether `mean` and `scale` were computed from the data.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    intercept: bool
    target: float = 0.0
    standardized: bool = False

    @classmethod
    def identity(cls, features: int, *, intercept: bool) -> Scaling:
        """Return a scaling that changes no column, for a model with or without an intercept."""
        return cls((0.0,) * features, (1.0,) * features, intercept)

    @classmethod
    def of(
        cls, columns: Columns, *, intercept: bool, standardize: bool, shift_target: bool
    ) -> Scaling:
        """Return the scaling for columns with these statistics.

        Parameters
        ----------
        columns : Columns
        intercept : bool
            Whether the model has an intercept. If it has, standardised columns are centred. A
            constant column then becomes a column of zeros, and its weight never changes.
        standardize : bool
            Whether to scale the columns.
        shift_target : bool
            Whether to subtract the mean of y from y, if `intercept` and `standardize` are True.
        """
        if not standardize:
            return cls.identity(len(columns.mean), intercept=intercept)
        if not intercept:
            scale = columns.root_mean_square
            scale = np.where(scale > 0, scale, 1.0)
            return cls(
                (0.0,) * len(scale), tuple(scale.tolist()), intercept=False, standardized=True
            )
        mean = np.where(columns.constant, columns.low, columns.mean)
        scale = np.where(columns.constant, 1.0, columns.deviation)
        target = columns.target if shift_target else 0.0
        return cls(tuple(mean.tolist()), tuple(scale.tolist()), True, target, standardized=True)

    @property
    def features(self) -> int:
        """Number of columns in the data, d."""
        return len(self.mean)

    @property
    def weights(self) -> int:
        """Number of weights of the descent: d, and one more with an intercept."""
        return len(self.mean) + self.intercept

    def mapped(self, columns: NDArray[Any], first: int = 0) -> NDArray[Any]:
        """Return some of the columns, centred and scaled.

        `columns` has the shape (n, k) and begins at the column with the index `first`. If the
        scaling changes none of these columns, `columns` itself is returned. Otherwise, the
        result is a new float64 array.
        """
        part = slice(first, first + columns.shape[1])
        mean, scale = self.mean[part], self.scale[part]
        if not any(mean) and all(number == 1 for number in scale):
            return columns
        centred: Weights = np.subtract(columns, mean, dtype=np.float64)
        centred /= scale
        return centred

    def transform(self, x: ArrayLike, out: Floats | None = None) -> Floats:
        """Return the rows that a descent reads.

        The rows have the scaled columns of x and, with an intercept, a column of ones.

        Parameters
        ----------
        x : array of shape (n, d), or (n,) if d is 1
        out : array of shape (n, number of weights), optional
            Array for the result, of any float dtype; by default a new float64 array.
        """
        values = np.asarray(x).reshape(-1, self.features)
        rows = np.empty((len(values), self.weights)) if out is None else out
        rows[:, : self.features] = self.mapped(values)
        rows[:, self.features :] = 1
        return rows

    def options(self) -> tuple[str, ...]:
        """Return the options of ``fit`` that lead to this scaling, such as ``--intercept``."""
        asked = {"--intercept": self.intercept, "--standardize": self.standardized}
        return tuple(option for option, given in asked.items() if given)

    @classmethod
    def from_fields(cls, raw: Mapping[str, Any]) -> Scaling:
        """Return the scaling from the fields of a JSON document.

        Raises
        ------
        KeyError, TypeError, ValueError
            A field is missing, or its value is not valid.
        """
        mean, scale = (finite(raw[name], name) for name in ("mean", "scale"))
        if len(mean) != len(scale) or not all(number > 0 for number in scale):
            raise ValueError("scale must be positive, one number for each mean")
        (target,) = finite([raw["target"]], "target")
        flags = (raw["intercept"], raw["standardized"])
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError("intercept and standardized must be true or false")
        return cls(mean, scale, flags[0], target, flags[1])

    def to_original(self, weights: ArrayLike) -> tuple[Weights, float]:
        """Return the weights of shape (d,) and the intercept, in the units of the data.

        `weights` are the weights of the descent, for the scaled columns. The intercept is 0 for
        a model without an intercept.
        """
        weights = np.asarray(weights, dtype=np.float64)
        w = weights[: self.features] / np.asarray(self.scale)
        if not self.intercept:
            return w, 0.0
        return w, float(weights[-1] + self.target - np.asarray(self.mean) @ w)

    def to_scaled(self, w: ArrayLike, intercept: float = 0.0) -> Weights:
        """Return the weights for the scaled columns; this is the inverse of `to_original`."""
        w = np.asarray(w, dtype=np.float64)
        scaled: Weights = w * np.asarray(self.scale)
        if not self.intercept:
            return scaled
        last = intercept - self.target + float(np.asarray(self.mean) @ w)
        return np.append(scaled, last)
