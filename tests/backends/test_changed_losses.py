"""Test that the checks of every library notice a changed loss or slope.

A change is a small edit in the source of a built-in function, like a typing mistake.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from backends import losses, open_backend
from backends.catalogue import reason_against
from backends.losses import LOG_LOSS, LOSSES, Loss
from backends.names import Name
from backends.problem import Problem
from tests.support import losses as check
from tests.support.backends import for_loss

CHANGES = {
    ("log_loss", "value"): ("0.5 * (p - negative)", "0.499 * (p - negative)"),
    ("log_loss", "slope"): ("small * inverse)", "small * small * inverse)"),
    ("huber", "value"): ("0.5 * inner", "0.499 * inner"),
    ("huber", "slope"): ("-1.0, 1.0", "-1.0, 0.999"),
    ("poisson", "value"): ("y * p", "1.001 * y * p"),
    ("poisson", "slope"): ("- y", "- 1.001 * y"),
}
"""Loss and function → a part of the function's source, and its replacement."""


def changed(name: str, part: str) -> Loss:
    """Return the built-in loss `name` with an edit in its "value" or "slope"."""
    function = getattr(LOSSES[name], part)
    before, after = CHANGES[name, part]
    text = inspect.getsource(function)
    assert text.count(before) == 1
    namespace = dict(vars(losses))
    exec(text.replace(before, after), namespace)  # noqa: S102 the text is the project's
    return replace(LOSSES[name], **{part: namespace[function.__name__]})


def noticed(backend: str, name: str, part: str) -> bool:
    """Return whether the checks of a backend fail if the loss has this edit."""
    right, wrong = LOSSES[name], changed(name, part)
    data = check.problem(1009, 3, "float64", right)
    other = Problem(data.x, data.y, loss=wrong)
    placed = open_backend(backend).place(other, check.RATE)
    try:
        check.check(placed, right, data, check.start(3))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("backend", for_loss(LOG_LOSS))
@pytest.mark.parametrize("name", check.NAMES)
def test_a_changed_value_is_noticed(backend: str, name: str) -> None:
    assert noticed(backend, name, "value")


@pytest.mark.parametrize("backend", for_loss(LOG_LOSS))
@pytest.mark.parametrize("name", check.NAMES)
def test_a_changed_slope_is_noticed_where_it_is_used(backend: str, name: str) -> None:
    """Check that each backend that uses the slope notices a changed slope.

    Backends with autograd do not use the slope.
    """
    uses_slope = bool(reason_against(Name.parse(backend), check.VALUE_ONLY))
    assert noticed(backend, name, "slope") == uses_slope
