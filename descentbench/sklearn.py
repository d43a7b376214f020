"""Estimators with scikit-learn's conventions, for any backend.

`DescentRegressor` and `DescentClassifier` can replace scikit-learn's own linear models in
pipelines, parameter searches and cross-validation. This module needs the optional package
scikit-learn: ``pip install 'descentbench[sklearn]'``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from backends.errors import MissingLibraryError
from backends.losses import HUBER, LOG_LOSS, POISSON, SQUARED_ERROR
from descentbench.choice import AUTO
from descentbench.fitting import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingLibraryError(
        f"descentbench.sklearn needs scikit-learn 1.6 or newer ({error}): "
        "pip install 'descentbench[sklearn]'"
    ) from None

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from backends.losses import Loss
    from descentbench.fitted import FitResult

DTYPES = [np.float64, np.float32]
"""Data of these dtypes keep their dtype. Data of any other dtype are converted to float64."""

REGRESSION = {loss.name: loss for loss in (SQUARED_ERROR, HUBER, POISSON)}
"""The losses of `DescentRegressor`; the keys are their names."""


class _Linear(BaseEstimator):
    """Base class of `DescentRegressor` and `DescentClassifier`: parameters and descent."""

    def __init__(
        self,
        *,
        backend: str = AUTO,
        fit_intercept: bool = True,
        standardize: bool = True,
        learning_rate: float | Literal["auto"] = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        store: str | PathLike[str] = ".benchmarks",
    ) -> None:
        self.backend = backend
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.store = store

    def _descend(self, x: NDArray[Any], y: NDArray[Any], loss: Loss) -> FitResult:
        """Run the descent; set `n_iter_` and `backend_`; warn if `tol` was not reached."""
        found = fit(
            x,
            y,
            backend=self.backend,
            loss=loss,
            learning_rate=self.learning_rate,
            steps=self.max_iter,
            tolerance=self.tol,
            intercept=self.fit_intercept,
            standardize=self.standardize,
            store=self.store,
        )
        if found.stopped == "steps":
            warnings.warn(
                f"{type(self).__name__} did not converge in {self.max_iter} steps: the "
                f"gradient's norm is above tol={self.tol:g} times the first gradient's norm; "
                "increase max_iter or tol",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.n_iter_ = found.steps
        self.backend_ = found.backend
        return found

    def _linear(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``X·coef_ + intercept_`` as a float64 array of shape (n,)."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=DTYPES, reset=False)
        w = np.ravel(self.coef_)
        return np.asarray(x @ w + np.ravel(self.intercept_)[0], np.float64)


class DescentRegressor(RegressorMixin, _Linear):
    """Linear regression by full-batch gradient descent with a fixed rate.

    Parameters
    ----------
    loss : {"squared_error", "huber", "poisson"}
        ``huber`` is quadratic up to a residual of 1 and linear above. ``poisson`` predicts
        the exponential of a linear function and needs targets of 0 or more.
    backend : str
        ``library[:technique][@device]``, or ``"auto"``: the backend that the measurements in
        `store` recommend. Without measurements, ``"auto"`` uses a NumPy backend. See
        `descentbench.fit` for the details.
    fit_intercept : bool
        Whether to fit an intercept.
    standardize : bool
        Whether the descent runs over standardised columns. If the columns of X differ in scale,
        far fewer steps are then needed. Coefficients are always in the units of X.
    learning_rate : float or "auto"
        With ``"auto"``, the rate is 1/L, where L is the largest curvature of the loss. The
        descent then never diverges. ``poisson`` has no such L and needs a number.
    max_iter : int
        Largest number of steps.
    tol : float
        The descent stops when the gradient's norm is at most `tol` times the norm of the first
        gradient. The norm is computed after step 1 and then every 20 steps.
    store : path
        Folder of the stored measurements for ``backend="auto"``.

    Attributes
    ----------
    coef_ : float64 array of shape (d,)
        Weights of the features.
    intercept_ : float
        0 without `fit_intercept`.
    n_iter_ : int
        Number of steps taken.
    backend_ : str
        Name of the backend that ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : array of str, of shape (d,)
        Names of the columns. The attribute is missing if X has no names, or names that are not
        text.

    Warns
    -----
    ConvergenceWarning
        `max_iter` steps did not reach `tol`.

    Examples
    --------
    >>> from descentbench.sklearn import DescentRegressor
    >>> model = DescentRegressor().fit([[1.0], [2.0], [3.0]], [3.0, 5.0, 7.0])
    >>> print(model.predict([[4.0]]).round(3))
    [9.]
    """

    def __init__(
        self,
        *,
        loss: str = SQUARED_ERROR.name,
        backend: str = AUTO,
        fit_intercept: bool = True,
        standardize: bool = True,
        learning_rate: float | Literal["auto"] = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        store: str | PathLike[str] = ".benchmarks",
    ) -> None:
        super().__init__(
            backend=backend,
            fit_intercept=fit_intercept,
            standardize=standardize,
            learning_rate=learning_rate,
            max_iter=max_iter,
            tol=tol,
            store=store,
        )
        self.loss = loss

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to X of shape (n, d) and y of shape (n,); return the estimator itself.

        Raises
        ------
        ValueError
            `loss` is unknown, or the data fail scikit-learn's checks.
        DescentbenchError
            The backend cannot be used, the descent diverges, or the loss does not accept y.
        """
        if self.loss not in REGRESSION:
            raise ValueError(f"loss must be one of {', '.join(REGRESSION)}, not {self.loss!r}")
        x, targets = validate_data(self, X, y, dtype=DTYPES, y_numeric=True)
        found = self._descend(x, targets, REGRESSION[self.loss])
        self.coef_, self.intercept_ = found.w, found.intercept
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return predictions of y as an array of shape (n,).

        For ``loss="poisson"``, a prediction is the expected count.
        """
        linear = self._linear(X)
        return np.exp(linear) if self.loss == POISSON.name else linear


class DescentClassifier(ClassifierMixin, _Linear):
    """Logistic regression of two classes by full-batch gradient descent, without a penalty.

    For more classes, use ``sklearn.multiclass.OneVsRestClassifier(DescentClassifier())``.

    If a plane separates the two classes, log_loss has no minimum, and the coefficients grow
    with every step. The descent then stops when the gradient is small enough for `tol`, or
    after `max_iter` steps with a ConvergenceWarning.

    Parameters
    ----------
    backend, fit_intercept, standardize, learning_rate, max_iter, tol, store
        See `DescentRegressor`.

    Attributes
    ----------
    classes_ : array of shape (2,)
        The two classes. A positive value of `decision_function` means ``classes_[1]``.
    coef_ : float64 array of shape (1, d)
        Weights of the features.
    intercept_ : float64 array of shape (1,)
        0 without `fit_intercept`.
    n_iter_, backend_, n_features_in_, feature_names_in_
        See `DescentRegressor`.

    Warns
    -----
    ConvergenceWarning
        `max_iter` steps did not reach `tol`.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to X of shape (n, d) and classes y of shape (n,); return the estimator itself.

        Raises
        ------
        ValueError
            The data fail scikit-learn's checks, or y does not have exactly two classes.
        DescentbenchError
            The backend cannot be used, or the descent diverges.
        """
        x, labels = validate_data(self, X, y, dtype=DTYPES)
        check_classification_targets(labels)
        kind = type_of_target(labels, input_name="y")
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}. "
                "For more classes, use OneVsRestClassifier(DescentClassifier())."
            )
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must have two classes, but has one class only: {classes[0]!r}")
        self.classes_ = classes
        found = self._descend(x, codes.astype(x.dtype), LOG_LOSS)
        self.coef_, self.intercept_ = found.w[np.newaxis], np.array([found.intercept])
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of the odds of ``classes_[1]`` for each row.

        The result has the shape (n,).
        """
        return self._linear(X)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class for each row, as an array of shape (n, 2).

        The columns are in the order of `classes_`.
        """
        decision = self._linear(X)
        second = 0.5 * (1 + np.tanh(decision / 2))  # the sigmoid, without an overflow
        return np.column_stack([1 - second, second])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the more probable class of each row, as an array of shape (n,)."""
        second = self._linear(X) > 0  # raises NotFittedError before classes_ is read
        return np.asarray(self.classes_[second.astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
