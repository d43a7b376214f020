"""Test `descentbench.fit`: arrays in, weights in the data's units out."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import descentbench
from backends import losses, names
from backends.names import Library
from backends.numpy import Plain
from descentbench.log import LOG
from tests.support.backends import parameters

RNG = np.random.default_rng(0)
X = RNG.random((200, 3)) * [1.0, 100.0, 1e4] + [0.0, 50.0, 1e3]
Y = X @ [1.0, 2.0, 3.0] + 5.0 + RNG.standard_normal(200)

SOLUTION = np.linalg.lstsq(np.column_stack([X, np.ones(200)]), Y)[0]


@pytest.mark.parametrize("backend", parameters())
def test_every_backend_fits_columns_of_unlike_scale(backend: str) -> None:
    """Compare with NumPy's least squares, in the data's units."""
    fitted = descentbench.fit(
        X, Y, backend=backend, intercept=True, standardize=True, tolerance=1e-12
    )
    np.testing.assert_allclose(fitted.w, SOLUTION[:-1], rtol=1e-6)
    assert fitted.intercept == pytest.approx(SOLUTION[-1], rel=1e-4)
    best = np.mean((X @ SOLUTION[:-1] + SOLUTION[-1] - Y) ** 2)
    assert fitted.loss == pytest.approx(best, rel=1e-6)
    assert (fitted.backend, fitted.stopped) == (backend, "tolerance")
    np.testing.assert_allclose(fitted.predict(X), X @ fitted.w + fitted.intercept)


def test_a_fit_is_the_descent_of_the_backend() -> None:
    problem = descentbench.generate(100, 2, np.float64)
    fitted = descentbench.fit(
        problem.x, problem.y, backend="numpy", learning_rate=0.01, steps=7, w0=[1.0, 2.0]
    )
    descent = descentbench.open_backend("numpy").place(problem, 0.01)
    np.testing.assert_array_equal(fitted.w, descent.run([1.0, 2.0], 7))
    assert (fitted.intercept, fitted.steps, fitted.stopped) == (0.0, 7, "steps")
    assert (fitted.rows, fitted.features, fitted.dtype) == (100, 2, "float64")


def test_only_the_columns_of_ones_need_a_start_of_their_own() -> None:
    """Check that without any step, the result is the given first w, in the data's units."""
    for how in ({}, {"intercept": True}, {"intercept": True, "standardize": True}):
        fitted = descentbench.fit(X, Y, steps=0, w0=[1.0, 2.0, 3.0], **how)
        np.testing.assert_allclose(fitted.w, [1.0, 2.0, 3.0])
        assert fitted.intercept == pytest.approx(0.0, abs=1e-9)


class Spy(Plain):
    """A backend that records the memory addresses of its data."""

    seen: tuple[int, int] = (0, 0)

    def __init__(self, problem: Any, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        type(self).seen = address(problem.x), address(problem.y)


def address(values: Any) -> int:
    return int(values.__array_interface__["data"][0])


@pytest.fixture
def spy() -> Iterator[str]:
    names.register(Library("spy", __name__, {"": "Spy"}, needs="numpy"))
    yield "spy"
    names.unregister("spy")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_backend_reads_the_caller_s_memory(spy: str, dtype: Any) -> None:
    x, y = X.astype(dtype), Y.astype(dtype)
    descentbench.fit(x, y, backend=spy, steps=1)
    assert Spy.seen == (address(x), address(y))


def test_the_backend_reads_the_memory_of_tables(spy: str) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame_y = pd.Series(Y, name="price")
    fitted = descentbench.fit(frame, frame_y, backend=spy, steps=1)
    assert Spy.seen == (address(frame.to_numpy()), address(frame_y.to_numpy()))
    assert fitted.columns == ("a", "b", "c")
    assert fitted.target == "price"
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": X[:, 0].copy(), "y": Y})
    descentbench.fit(table.select(["a"]), table["y"], backend=spy, steps=1)
    columns = [table[name].chunk(0).buffers()[1].address for name in ("a", "y")]
    assert list(Spy.seen) == columns


def test_predictions_check_the_columns() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = descentbench.fit(frame, Y, steps=1)
    np.testing.assert_allclose(fitted.predict(frame), fitted.predict(X))
    with pytest.raises(
        descentbench.ProblemError, match="the table lacks columns of the fit: c"
    ):
        fitted.predict(frame[["a", "b"]])
    with pytest.raises(descentbench.ProblemError, match="select them in the fit's order"):
        fitted.predict(frame[["b", "a", "c"]])
    with pytest.raises(descentbench.ProblemError, match="x has 2 features, but the fit has 3"):
        fitted.predict(X[:, :2])


def test_the_model_is_written_and_read(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    counts = np.arange(200) % 3
    how = {"loss": "poisson", "learning_rate": 0.1, "intercept": True, "standardize": True}
    fitted = descentbench.fit(frame, counts, **how)
    fitted.save(tmp_path / "model.json")
    model = descentbench.read_model(tmp_path / "model.json")
    assert model == fitted.model
    assert model.columns == ("a", "b", "c")
    np.testing.assert_allclose(fitted.predict(frame), np.exp(fitted.linear(frame)))
    np.testing.assert_allclose(model.predict(X), fitted.predict(frame), rtol=1e-12)
    assert descentbench.fit(X, Y).model.intercept is None
    with pytest.raises(descentbench.DescentbenchError, match="cannot read"):
        descentbench.read_model(tmp_path / "other.json")


def test_the_result_is_a_table_and_json() -> None:
    looks: list[tuple[int, float]] = []
    fitted = descentbench.fit(
        X, Y, steps=50, every=20, standardize=True, on_look=lambda *look: looks.append(look)
    )
    assert [line["step"] for line in fitted.table] == [1, 21, 41, 50]
    assert [step for step, _ in looks] == [0, 1, 21, 41, 50]
    assert fitted.table[-1]["w"] == fitted.w.tolist()
    document = json.loads(json.dumps(fitted.to_dict()))
    assert document["w"] == fitted.w.tolist()
    assert document["loss"] == fitted.loss
    assert document["columns"] is None


LOSS_FILE = """
class mine:
    curvature = 2.0

    def value(xp, p, y):
        return (p - y) * (p - y)

    def slope(xp, p, y):
        return 2 * (p - y)
"""


def test_losses_by_name_by_file_and_as_objects(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(LOSS_FILE)
    of_file = losses.find(f"{tmp_path}/losses.py:mine")
    mine = SimpleNamespace(value=of_file.value, slope=of_file.slope, curvature=2.0)
    found = [
        descentbench.fit(X, Y, loss=loss, backend="numpy", standardize=True, steps=30)
        for loss in ("squared_error", f"{tmp_path}/losses.py:mine", of_file, mine)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.w, found[0].w, rtol=1e-12)
    assert found[1].loss_name == of_file.name
    assert found[3].loss_name == "SimpleNamespace"


def _as_it_is(xp: Any, p: Any, y: Any) -> Any:
    return (p - y) * (p - y)


def _sinh(xp: Any, p: Any, y: Any) -> Any:
    return xp.sinh(p - y)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (SimpleNamespace(value=_as_it_is, slope=lambda xp, p, y: p - y), "the slope is"),
        (losses.Loss("mine", _as_it_is, lambda xp, p, y: p - y), "mine: the slope is"),
        (SimpleNamespace(value=_as_it_is, curvature=1.0), "the curvature is 1, but"),
        (_sinh, "_sinh: xp.sinh is not one of exp, log, "),
    ],
    ids=["slope", "Loss", "curvature", "function"],
)
def test_a_loss_given_as_an_object_is_checked(loss: Any, says: str) -> None:
    """Fixed bug: a loss from a file was checked, but a loss given as an object was not."""
    with pytest.raises(descentbench.ProblemError) as caught:
        descentbench.fit([1.0, 2.0], [1.0, 2.0], loss=loss, learning_rate=0.1)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_without_a_slope_needs_a_backend_that_differentiates() -> None:
    pytest.importorskip("jax")

    def cosh(xp: Any, p: Any, y: Any) -> Any:
        return xp.log(xp.exp(p - y) + xp.exp(y - p))

    fitted = descentbench.fit([1.0, 2.0], [1.0, 2.0], loss=cosh, learning_rate=0.1)
    assert (fitted.backend, fitted.loss_name) == ("jax:loop", "cosh")
    assert fitted.w[0] == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(
        descentbench.BackendError, match="numpy: needs a slope, which cosh does"
    ):
        descentbench.fit([1.0], [1.0], loss=cosh, backend="numpy", learning_rate=0.1)
    with pytest.raises(descentbench.ProblemError, match="cosh states no largest curvature"):
        descentbench.fit([1.0], [1.0], loss=cosh)


@pytest.mark.parametrize(
    ("how", "error", "reason"),
    [
        ({"y": Y[:-1]}, descentbench.ProblemError, "x has 200 rows but y has 199"),
        ({"y": X}, descentbench.ProblemError, "y must be one column"),
        ({"y": Y * np.nan}, descentbench.ProblemError, "y holds nan in row 1"),
        ({"loss": "log_loss"}, descentbench.ProblemError, "log_loss needs targets of 0 or 1"),
        ({"loss": "hinge"}, descentbench.ProblemError, "there is no loss 'hinge'; choose one"),
        ({"loss": 3}, descentbench.ProblemError, "3 is no loss: give a name"),
        ({"backend": "nunpy"}, descentbench.BackendError, "did you mean 'numpy'"),
        ({"backend": "numpy@cuda:7"}, descentbench.DeviceError, "has no device 'cuda:7'"),
        ({"backend": "numpy:gram", "loss": "huber"}, descentbench.BackendError, "for huber"),
        ({"learning_rate": 1.0}, descentbench.DivergenceError, "beyond the largest"),
        ({"learning_rate": -1.0}, descentbench.ProblemError, "a finite number above 0, not -1"),
        ({"learning_rate": "fast"}, descentbench.ProblemError, "number or 'auto', not 'fast'"),
        (
            {"steps": -1},
            descentbench.ProblemError,
            "steps must be a whole number of at least 0",
        ),
        ({"steps": 1.5}, descentbench.ProblemError, "steps must be a whole number"),
        ({"every": 0}, descentbench.ProblemError, "every must be a whole number of at least 1"),
        ({"w0": [1.0]}, descentbench.ProblemError, r"w0 must be of shape \(3,\), not \(1,\)"),
        ({"dtype": "int8"}, descentbench.ProblemError, "dtype must be float32 or float64"),
    ],
)
def test_errors_are_exceptions_of_one_line(how: Any, error: type, reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        descentbench.fit(**({"x": X, "y": Y} | how))
    assert isinstance(caught.value, descentbench.DescentbenchError)
    assert "\n" not in str(caught.value)


class Steeper:
    """A loss whose stated curvature is wrong for errors above 7, where nothing is checked."""

    curvature = 1.0

    @staticmethod
    def value(xp: Any, p: Any, y: Any) -> Any:
        far = xp.maximum(xp.abs(p - y) - 7, 0.0)
        return 0.5 * (p - y) ** 2 + far**4

    @staticmethod
    def slope(xp: Any, p: Any, y: Any) -> Any:
        far = xp.maximum(xp.abs(p - y) - 7, 0.0)
        return (p - y) + 4 * far**3 * xp.where(p > y, 1.0, -1.0)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"loss": Steeper, "learning_rate": 1.0}, "(learning_rate='auto' takes 1/L)"),
        ({"loss": "squared_error", "learning_rate": 1.0}, "(learning_rate='auto' takes 1/L)"),
        ({"loss": Steeper}, "too large for Steeper on these data"),
        ({"loss": "poisson"}, "give a number, such as learning_rate=0.001"),
    ],
    ids=["given", "squares", "automatic", "none"],
)
def test_an_error_of_the_rate_advises_in_pythons_words(how: Any, says: str) -> None:
    """Fixed bug: the advice was to use the command's option --lr auto."""
    with pytest.raises(descentbench.DescentbenchError) as caught:
        descentbench.fit([1.0, 2.0], [100.0, 300.0], backend="numpy", **how)
    line = str(caught.value).replace('"', "'")
    assert line.endswith(says)
    assert "--" not in line


def test_a_fit_logs_and_prints_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, LOG.name):
        descentbench.fit(X, Y, steps=30, standardize=True, tolerance=1e-15)
    said = "\n".join(record.message for record in caplog.records)
    assert "backend auto: numpy:gram, the default" in said
    assert "fit: numpy:gram, 200 × 3, float64, squared_error, learning rate" in said
    assert "fit: step 21, loss " in said
    (warning,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("fit: the loss is ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("backend", ["numpy", "numba", "jax:loop"])
def test_ctrl_c_is_a_keyboard_interrupt(backend: str) -> None:
    pytest.importorskip(backend.partition(":")[0])
    pressed = threading.Event()

    def press(step: int, loss: float) -> None:
        if step > 40 and not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)

    # Tests that run in the background of a shell ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            descentbench.fit(
                X, Y, backend=backend, standardize=True, steps=10**5, on_look=press
            )
    finally:
        signal.signal(signal.SIGINT, before)
