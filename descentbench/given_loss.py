"""Convert a caller's argument `loss` to a `Loss`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from backends.errors import ProblemError
from backends.losses import LOSSES, Loss, check_own, find


def loss_of(loss: Any) -> Loss:
    """Return the `Loss` that a caller has given by name, file, function or object.

    Parameters
    ----------
    loss : str or object
        One of these:

        - the name of a built-in loss;
        - ``FILE.py:NAME``, a name in a Python file;
        - a function ``value(xp, p, y)``;
        - a `Loss`, or an object with some fields of `Loss`; only ``value`` is required.

    Raises
    ------
    ProblemError
        The loss does not exist, its file cannot be imported, the object has no field ``value``,
        or the slope or the curvature disagrees with the value.
    """
    if isinstance(loss, str):
        return find(loss)
    if isinstance(loss, Loss):
        if loss not in LOSSES.values():
            check_own(loss, loss.name)
        return loss
    value = getattr(loss, "value", loss)
    if not callable(value):
        raise ProblemError(
            f"{loss!r} is no loss: give a name, FILE.py:NAME, a function value(xp, p, y), or "
            "an object whose field `value` is this function"
        )
    name = getattr(loss, "__name__", type(loss).__name__)
    known = [field.name for field in fields(Loss) if field.name not in ("name", "value")]
    own = Loss(name, value, **{f: getattr(loss, f) for f in known if hasattr(loss, f)})
    check_own(own, name)
    return own
