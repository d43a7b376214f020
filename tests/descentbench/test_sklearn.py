"""Test that the estimators keep scikit-learn's conventions, with several backends."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import descentbench
from backends.catalogue import reason_against
from backends.losses import LOG_LOSS
from backends.names import Name
from descentbench.log import LOG

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from descentbench.sklearn import DescentClassifier, DescentRegressor

BEST = (
    *("auto", "numpy:blocked", "numba:parallel", "torch:analytic"),
    pytest.param("jax:loop", marks=pytest.mark.slow),  # it compiles for 200 shapes
)
"""The default backend, and the fastest loop of each library on a CPU."""

RNG = np.random.default_rng(0)
X = RNG.random((300, 3)) * [1.0, 100.0, 1e4] + [0.0, 50.0, 1e3]
Y = X @ [1.0, 2.0, 3.0] + 5.0 + RNG.standard_normal(300)
CLASSES = np.where(np.median(Y) + 1e4 * RNG.standard_normal(300) < Y, "yes", "no")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("backend", BEST)
@pytest.mark.parametrize("estimator", [DescentRegressor, DescentClassifier])
def test_scikit_learn_s_own_checks_pass(estimator: Any, backend: str) -> None:
    if backend != "auto":
        pytest.importorskip(backend.partition(":")[0])
        why = reason_against(Name.parse(backend), LOG_LOSS)
        if why and estimator is DescentClassifier:
            pytest.skip(f"{backend} {why}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks warn, for instance about convergence
        found = check_estimator(estimator(backend=backend), on_fail=None, on_skip=None)
    failed = {f["check_name"]: f["exception"] for f in found if f["status"] == "failed"}
    assert not failed
    assert sum(f["status"] == "passed" for f in found) > 40


def test_the_checks_pass_for_huber_and_without_an_intercept() -> None:
    estimator = DescentRegressor(loss="huber", fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, on_fail=None, on_skip=None)
    assert not [f for f in found if f["status"] == "failed"]


def test_the_regressor_finds_the_least_squares() -> None:
    mine = DescentRegressor(tol=1e-12).fit(X, Y)
    other = LinearRegression().fit(X, Y)
    np.testing.assert_allclose(mine.coef_, other.coef_, rtol=1e-6)
    assert mine.intercept_ == pytest.approx(other.intercept_, rel=1e-4)
    np.testing.assert_allclose(mine.predict(X), other.predict(X))
    assert 0 < mine.n_iter_ < 1000
    assert mine.backend_ == "numpy:gram"
    without = DescentRegressor(tol=1e-12, max_iter=10**5, fit_intercept=False).fit(X, Y)
    other = LinearRegression(fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(without.coef_, other.coef_, rtol=1e-6)
    assert without.intercept_ == 0


def test_the_classifier_finds_the_minimum_of_log_loss() -> None:
    mine = DescentClassifier(tol=1e-10, max_iter=10**5).fit(X, CLASSES)
    scaled = StandardScaler().fit(X)
    other = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10**4)
    other.fit(scaled.transform(X), CLASSES)
    np.testing.assert_allclose(mine.coef_, other.coef_ / scaled.scale_, rtol=1e-5)
    expected = other.predict_proba(scaled.transform(X))
    np.testing.assert_allclose(mine.predict_proba(X), expected, rtol=1e-5)
    assert mine.coef_.shape == (1, 3)
    assert mine.intercept_.shape == (1,)
    assert mine.classes_.tolist() == ["no", "yes"]
    assert mine.backend_ == "numpy:blocked"


def test_poisson_predicts_counts() -> None:
    counts = RNG.poisson(np.exp(X[:, 0]))
    model = DescentRegressor(loss="poisson", learning_rate=0.3, tol=1e-9).fit(X, counts)
    assert model.predict(X).mean() == pytest.approx(
        counts.mean(), rel=1e-6
    )  # as for any Poisson fit
    with pytest.raises(descentbench.ProblemError, match="poisson states no largest curvature"):
        DescentRegressor(loss="poisson").fit(X, counts)


def test_a_pipeline_a_search_and_cross_validation() -> None:
    model = make_pipeline(StandardScaler(), DescentRegressor())
    assert cross_val_score(model, X, Y, cv=3).min() > 0.99
    search = GridSearchCV(DescentRegressor(), {"loss": ["squared_error", "huber"]}, cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # huber is far from its minimum
        assert search.fit(X, Y).best_params_ == {"loss": "squared_error"}
    assert cross_val_score(DescentClassifier(), X, CLASSES, cv=3).mean() > 0.6


@pytest.mark.parametrize("model", [DescentRegressor(tol=0.1), DescentClassifier(tol=0.1)])
def test_clone_and_pickle(model: Any) -> None:
    target = CLASSES if isinstance(model, DescentClassifier) else Y
    fitted = clone(model).fit(X, target)
    assert not hasattr(clone(fitted), "coef_")
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 the data are made here
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.get_params() == model.get_params()


def test_names_of_columns_are_kept_and_checked() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = DescentRegressor().fit(frame, Y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])


def test_a_descent_that_is_not_finished_warns() -> None:
    with pytest.warns(ConvergenceWarning, match="did not converge in 3 steps: .* max_iter"):
        DescentRegressor(max_iter=3).fit(X, Y)


def test_more_than_two_classes_need_one_vs_rest() -> None:
    target = np.digitize(Y, np.quantile(Y, [0.3, 0.6]))
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        DescentClassifier().fit(X, target)
    model = OneVsRestClassifier(DescentClassifier(tol=1e-2))
    assert model.fit(X, target).score(X, target) > 0.6
    with pytest.raises(ValueError, match="y must have two classes, but has one class only"):
        DescentClassifier().fit(X, np.zeros(300))
    with pytest.raises(ValueError, match="loss must be one of squared_error, huber, poisson"):
        DescentRegressor(loss="log_loss").fit(X, Y)


def test_weights_of_samples_are_not_supported() -> None:
    """Check that scikit-learn reports an error for the missing parameter `sample_weight`."""
    with pytest.raises(TypeError, match="sample_weight"):
        DescentRegressor().fit(X, Y, sample_weight=np.ones(300))  # type: ignore[call-arg]


def test_the_log_names_the_backend(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO, LOG.name):
        DescentRegressor(store=tmp_path).fit(X, Y)
    assert f"backend auto: numpy:gram, the default, because {tmp_path} has no" in caplog.text


def test_without_scikit_learn_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError('there is none')\n")
    code = (
        "import descentbench\n"
        "try:\n"
        "    import descentbench.sklearn\n"
        "except descentbench.MissingLibraryError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.endswith("pip install 'descentbench[sklearn]'")
