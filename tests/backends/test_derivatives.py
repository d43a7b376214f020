"""Test that a user's wrong slope or curvature is an error that shows both numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends import ProblemError
from backends.derivatives import check_derivatives
from backends.losses import LOSSES, Loss, find

ALL = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)

MINE = """
class mine:
    curvature = {curvature}
    value = staticmethod(lambda xp, p, y: xp.exp(0.5 * xp.log(1 + (p - y) * (p - y))) - 1)
    slope = staticmethod(lambda xp, p, y: {slope})
"""

RIGHT = "(p - y) / xp.exp(0.5 * xp.log(1 + (p - y) * (p - y)))"


def test_the_derivatives_of_every_built_in_loss_fit() -> None:
    for loss in LOSSES.values():
        check_derivatives(loss)


@ALL
@pytest.mark.parametrize(
    "change",
    [
        lambda s, p: 1.001 * s,
        lambda s, p: s + 1e-3,
        lambda s, p: -s,
        lambda s, p: np.where(p < -2, 0.0, s),
    ],
    ids=["factor", "offset", "sign", "branch"],
)
def test_a_changed_slope_is_noticed(loss: Loss, change: Callable[..., Any]) -> None:
    slope = loss.slope
    assert slope is not None
    wrong = replace(loss, slope=lambda xp, p, y: change(slope(xp, p, y), p))
    with pytest.raises(ProblemError, match=rf"{loss.name}: the slope.* at p = .*, y = .*"):
        check_derivatives(wrong)


@ALL
def test_a_changed_value_is_noticed(loss: Loss) -> None:
    wrong = replace(loss, value=lambda xp, p, y: 1.001 * loss.value(xp, p, y))
    with pytest.raises(ProblemError, match="the derivative of the value is"):
        check_derivatives(wrong)


@ALL
def test_a_curvature_that_is_too_small_is_noticed(loss: Loss) -> None:
    small = 0.9 * (loss.curvature or 1.0)
    with pytest.raises(ProblemError, match=r"the curvature is .*, but the second derivative"):
        check_derivatives(replace(loss, curvature=small))


def test_a_users_wrong_slope_is_told_with_both_figures(tmp_path: Path) -> None:
    """Check the error's text for a wrong slope and for a wrong curvature."""
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(curvature=1.0, slope=f"-{RIGHT}"))
    with pytest.raises(ProblemError) as caught:
        find(f"{file}:mine")
    p, y = -3.17, 0.0
    right = (p - y) / np.sqrt(1 + (p - y) ** 2)
    assert str(caught.value) == (
        f"{file}: mine: the slope is {-right:.6g} at p = {p}, y = 0, "
        f"where the derivative of the value is {right:.6g}"
    )
    file.write_text(MINE.format(curvature=0.5, slope=RIGHT))
    with pytest.raises(ProblemError, match=r"mine: the curvature is 0\.5, but the second"):
        find(f"{file}:mine")
    file.write_text(MINE.format(curvature=1.0, slope=RIGHT))
    find(f"{file}:mine")


def test_a_function_that_fails_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(curvature=1.0, slope="p.nowhere()"))
    with pytest.raises(ProblemError, match="cannot be evaluated for NumPy arrays: Attribute"):
        find(f"{file}:mine")


@pytest.mark.parametrize("part", ["value", "slope"])
def test_a_function_that_branches_on_a_row_is_told(tmp_path: Path, part: str) -> None:
    """Check the error for a function that uses `if` on values of a row; it is one line."""
    file = tmp_path / "mine.py"
    parts = {"value": "(p - y) ** 2", "slope": "2 * (p - y)"}
    parts[part] += " if p > y else 0"
    lines = [f"    {k} = staticmethod(lambda xp, p, y: {v})\n" for k, v in parts.items()]
    file.write_text("".join(["class mine:\n", *lines]))
    with pytest.raises(ProblemError, match=r"mine cannot be evaluated .* write xp\.where"):
        find(f"{file}:mine")


def test_only_accepted_targets_and_finite_values_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class mine:\n"
        "    accepts = staticmethod(lambda y: y > 0)\n"
        "    value = staticmethod(lambda xp, p, y: xp.log(p) / y)\n"
        "    slope = staticmethod(lambda xp, p, y: 1 / (p * y))\n"
    )
    assert find(f"{file}:mine").accepts is not None
