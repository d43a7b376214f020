"""Test the losses: formulas, checks of targets, and a user's loss from a file."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from backends import Problem, ProblemError, generate, open_backend
from backends.losses import FUNCTIONS, LOSSES, Loss, find
from tests.support.documents import ROOT
from tests.support.losses import TEXTBOOK

ALL = list(LOSSES.values())

PREDICTIONS = np.concatenate([np.linspace(-30, 30, 241), [-1e4, 1e4]])


def targets(loss: Loss, count: int) -> np.ndarray:
    """Return random targets that the loss accepts."""
    rng = np.random.default_rng(0)
    if loss.targets is None:
        return rng.normal(0, 3, count)
    return loss.targets(rng.normal(size=count), rng.random(count))


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_the_value_is_the_textbooks(loss: Loss) -> None:
    p, y = PREDICTIONS[:-2], targets(loss, len(PREDICTIONS) - 2)
    expected = TEXTBOOK[loss.name].value(p, y)
    np.testing.assert_allclose(loss.value(np, p, y), expected, 1e-13, 1e-13)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_the_textbooks_derivatives_are_those_of_its_value(loss: Loss) -> None:
    """Check the formulas `TEXTBOOK`, because several other tests rely on these formulas."""
    p, h = np.linspace(-5, 5, 400) + 1e-3, 1e-6
    y, textbook = targets(loss, len(p)), TEXTBOOK[loss.name]
    smooth = abs(abs(p - y) - 1) > 2 * h if loss.name == "huber" else np.full(len(p), True)
    p, y = p[smooth], y[smooth]
    for function, derivative in (
        (textbook.value, textbook.slope),
        (textbook.slope, textbook.second),
    ):
        difference = (function(p + h, y) - function(p - h, y)) / (2 * h)
        np.testing.assert_allclose(derivative(p, y), difference, 1e-5, 1e-8)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_the_slope_is_the_values_difference(loss: Loss) -> None:
    assert loss.slope is not None
    p, h = np.linspace(-5, 5, 400) + 1e-3, 1e-6
    y = targets(loss, len(p))
    difference = (loss.value(np, p + h, y) - loss.value(np, p - h, y)) / (2 * h)
    np.testing.assert_allclose(loss.scale * loss.slope(np, p, y), difference, 1e-5, 1e-8)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_autograd_of_the_value_is_the_slope(loss: Loss) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    assert loss.slope is not None
    p = np.concatenate([np.linspace(-30, 30, 241), [0.0]])
    y = targets(loss, len(p))
    found = jax.vmap(jax.grad(lambda p, y: loss.value(jax.numpy, p, y)))(p, y)
    np.testing.assert_allclose(loss.scale * loss.slope(np, p, y), found, 1e-12, 1e-12)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_the_curvature_bounds_the_second_difference(loss: Loss) -> None:
    if loss.curvature is None:
        pytest.skip("the loss has no bound on its curvature")
    assert loss.slope is not None
    p, h = np.linspace(-8, 8, 4001), 1e-4
    y = np.zeros(len(p))
    second = loss.scale * (loss.slope(np, p + h, y) - loss.slope(np, p - h, y)) / (2 * h)
    assert second.max() <= loss.curvature * (1 + 1e-6)
    assert second.max() >= loss.curvature * (1 - 1e-3)  # the bound is not too large


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "loss", [loss for loss in ALL if loss.curvature is not None], ids=lambda loss: loss.name
)
def test_far_predictions_have_a_finite_loss_and_slope(loss: Loss, dtype: str) -> None:
    p = np.array([-1e4, -200, -90, 0, 90, 200, 1e4], dtype)
    assert loss.slope is not None
    for y in (np.zeros_like(p), np.ones_like(p)):
        with np.errstate(all="raise", under="ignore"):
            assert np.isfinite(loss.value(np, p, y)).all()
            assert np.isfinite(loss.slope(np, p, y)).all()


@given(st.floats(-700, 700))
def test_the_sigmoid_keeps_its_digits_in_the_tails(p: float) -> None:
    slope = LOSSES["log_loss"].slope
    assert slope is not None
    found = slope(np, np.array([p]), np.zeros(1))
    np.testing.assert_allclose(found, expit(p), rtol=1e-14)


def test_targets_outside_the_domain_are_named_by_row() -> None:
    x = np.ones(5)
    with pytest.raises(ProblemError, match=r"y is 0\.5 in row 4; log_loss needs"):
        Problem(x, np.array([0, 1, 1, 0.5, 1]), loss=LOSSES["log_loss"])
    with pytest.raises(ProblemError, match="y is -1 in row 2; poisson needs"):
        Problem(x, np.array([0, -1.0, 1, 3, 1]), loss=LOSSES["poisson"])
    Problem(x, np.array([0, 2.5, 1, 3, 1]), loss=LOSSES["poisson"])


@pytest.mark.parametrize("features", [1, 7])
@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_a_range_of_synthetic_rows_is_a_part_of_the_whole(loss: Loss, features: int) -> None:
    whole = generate(5000, features, loss=loss)
    part = generate(5000, features, start=1500, stop=3100, loss=loss)
    np.testing.assert_array_equal(part.y, whole.y[1500:3100])
    loss.check(whole.y)
    assert len(np.unique(whole.y)) > 1


def test_poisson_targets_have_mean_and_variance_of_their_rate() -> None:
    make = LOSSES["poisson"].targets
    assert make is not None
    z = np.full(200_000, 1.5)
    y = make(z, np.random.default_rng(0).random(len(z)))
    rate = np.exp(0.75)
    assert y.mean() == pytest.approx(rate, rel=0.01)
    assert y.var() == pytest.approx(rate, rel=0.02)


PSEUDO_HUBER = """
def pseudo_huber(xp, p, y):
    r = p - y
    return xp.exp(0.5 * xp.log1p(r * r)) - 1
"""


def test_a_function_in_a_file_is_a_loss(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PSEUDO_HUBER)
    loss = find(f"{file}:pseudo_huber")
    assert loss.slope is None
    assert loss.value(np, np.array([2.0]), np.array([0.0])) == pytest.approx(np.sqrt(5) - 1)
    name = loss.name
    file.write_text(PSEUDO_HUBER.replace("- 1", "- 1.0"))
    assert find(f"{file}:pseudo_huber").name != name  # an edited file is another loss


def test_a_users_loss_reaches_a_process_that_does_not_have_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import math\n{PSEUDO_HUBER}\nONE = math.exp(0)\n")
    sent = pickle.dumps(find(f"{file}:pseudo_huber"))
    file.unlink()
    code = (
        "import pickle, sys, numpy\n"
        "loss = pickle.load(sys.stdin.buffer)\n"
        "print(loss.name, loss.value(numpy, 2.0, 0.0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=sent, capture_output=True, check=True
    )
    name, value = done.stdout.decode().split()
    assert name.startswith("pseudo_huber-")
    assert float(value) == pytest.approx(np.sqrt(5) - 1)


def test_an_object_in_a_file_may_have_all_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class half:\n"
        "    value = staticmethod(lambda xp, p, y: 0.5 * (p - y) ** 2)\n"
        "    slope = staticmethod(lambda xp, p, y: p - y)\n"
        "    curvature = 1.0\n"
    )
    loss = find(f"{file}:half")
    assert loss.slope is not None
    assert (loss.slope(np, 3.0, 1.0), loss.curvature, loss.scale) == (2.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("def mine(xp, p, y): return p", "yours", "defines no 'yours'"),
        ("raise ValueError('no')", "mine", "cannot be imported: ValueError"),
        ("mine = 3", "mine", r"a loss is a function value\(xp, p, y\)"),
    ],
)
def test_a_file_without_a_loss_is_one_line(
    tmp_path: Path, source: str, name: str, says: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(ProblemError, match=says):
        find(f"{file}:{name}")


@pytest.mark.parametrize("text", ["absolute", "mine.txt:loss", "no.py:loss", "log_loss:"])
def test_an_unknown_loss_is_one_line(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProblemError, match=r"there is no loss|cannot be read"):
        find(text)


def test_what_a_users_object_leaves_out_has_its_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from types import SimpleNamespace\n"
        "mine = SimpleNamespace(value=lambda xp, p, y: p - y)\n"
    )
    loss = find(f"{file}:mine")
    assert SimpleNamespace(slope=loss.slope, scale=loss.scale) == SimpleNamespace(
        slope=None, scale=1.0
    )


def _torch_namespaces() -> Iterator[Any]:
    pytest.importorskip("torch", reason="torch is not installed")
    from backends.torch import namespace
    from bench.measure.derivative import _torch_functions

    yield from (*namespace.XP.values(), *namespace.SLOPE_XP.values(), _torch_functions())


def _numpy_namespaces() -> Iterator[Any]:
    from backends.numpy import slopes

    yield slopes.XP


def _triton_namespaces() -> Iterator[Any]:
    from backends.onepass.formula import Formula

    yield Formula().namespace


@pytest.mark.parametrize(
    "namespaces", [_numpy_namespaces, _torch_namespaces, _triton_namespaces]
)
def test_every_namespace_has_the_functions_that_a_loss_may_use(
    namespaces: Callable[[], Iterator[Any]],
) -> None:
    """Fixed bug: no namespace had sqrt, and a loss with xp.sqrt ended in an AttributeError."""
    for namespace in namespaces():
        assert set(vars(namespace)) == set(FUNCTIONS)


def test_the_page_names_every_function_that_a_loss_may_use() -> None:
    page = (ROOT / "docs/losses.md").read_text(encoding="utf-8")
    assert [name for name in FUNCTIONS if f"`{name}`" not in page] == []


ROOT_LOSS = """
class root:
    value = lambda xp, p, y: xp.sqrt(1 + (p - y) * (p - y)) - 1
    slope = lambda xp, p, y: (p - y) / xp.sqrt(1 + (p - y) * (p - y))
    curvature = 1.0
"""


@pytest.mark.parametrize(
    "backend", ["numpy", "numpy:blocked", "numba", "numba:parallel", "torch", "torch:analytic"]
)
def test_a_loss_with_a_square_root_descends(backend: str, tmp_path: Path) -> None:
    """Check a loss that calls xp.sqrt.

    Fixed bug: it ended in an AttributeError with numpy:blocked and torch.
    """
    pytest.importorskip(backend.partition(":")[0])
    file = tmp_path / "mine.py"
    file.write_text(ROOT_LOSS)
    problem = generate(500, 3, loss=find(f"{file}:root"))
    placed = open_backend(backend).place(problem, 0.1)
    expected = open_backend("numpy").place(problem, 0.1).run([0.0] * 3, 3)
    np.testing.assert_allclose(placed.run([0.0] * 3, 3), expected, 1e-4)


@pytest.mark.parametrize("field", ["value", "slope"])
def test_a_function_that_no_namespace_has_is_one_line(field: str, tmp_path: Path) -> None:
    """Check that an unknown function of `xp` is an error as soon as the file is read."""
    file = tmp_path / "mine.py"
    other = {"value": "p * y", "slope": "y", field: "xp.sinh(p)"}
    file.write_text(
        "class mine:\n"
        f"    value = lambda xp, p, y: {other['value']}\n"
        f"    slope = lambda xp, p, y: {other['slope']}\n"
    )
    with pytest.raises(ProblemError) as caught:
        find(f"{file}:mine")
    known = ", ".join(FUNCTIONS)
    assert str(caught.value) == f"{file}: mine: xp.sinh is not one of {known}"
