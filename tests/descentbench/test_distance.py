"""Test the distance from the minimum; it is stated only if it needs no extra pass."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest

import descentbench
from backends.reference import Reference
from descentbench import distance
from descentbench.log import LOG

RNG = np.random.default_rng(0)
X = RNG.random((500, 3)) * [1.0, 100.0, 1e4]
Y = X @ [1.0, 2.0, 3.0] + 5.0 + RNG.standard_normal(500)


def warnings(caplog: pytest.LogCaptureFixture, **how: Any) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, LOG.name):
        descentbench.fit(X, Y, intercept=True, **how)
    return [record.message for record in caplog.records]


@pytest.mark.parametrize("backend", ["numpy", "numpy:gram"])
@pytest.mark.parametrize("rate", ["auto", 1e-9])
def test_the_excess_is_that_of_lstsq(backend: str, rate: Any) -> None:
    fitted = descentbench.fit(
        X, Y, backend=backend, intercept=True, steps=50, learning_rate=rate
    )
    ones = np.column_stack([X, np.ones(500)])
    least = float(np.mean((ones @ np.linalg.lstsq(ones, Y)[0] - Y) ** 2))
    assert fitted.excess is not None
    assert fitted.excess.absolute == pytest.approx(fitted.loss - least, rel=1e-6)
    assert fitted.excess.minimum == pytest.approx(least, rel=1e-4)
    document = json.loads(json.dumps(fitted.to_dict()))
    assert document["excess"]["absolute"] == fitted.excess.absolute


def test_a_fit_far_from_its_minimum_names_the_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (said,) = warnings(caplog, steps=50)
    assert said.startswith("fit: the loss is ")
    assert " times its minimum; at this learning rate about " in said
    assert "with standardize=True about 4 are enough" in said
    (said,) = warnings(caplog, steps=2, standardize=True)
    assert "standardize" not in said
    assert warnings(caplog, steps=50, standardize=True) == []
    (said,) = warnings(caplog, steps=50, standardize=True, tolerance=1e-300)
    assert (
        said == "fit: not converged after 50 steps: the gradient's norm is above 1e-300 times "
        "the first gradient's norm"
    )


def test_the_steps_that_are_missing_are_enough() -> None:
    def after(steps: int) -> descentbench.FitResult:
        return descentbench.fit(X, Y, steps=steps)

    first = after(100).excess
    assert first is not None
    assert first.more_steps is not None
    enough, fewer = (after(100 + int(f * first.more_steps)).excess for f in (1.0, 0.98))
    assert enough is not None
    assert enough.finished
    assert fewer is not None
    assert not fewer.finished


def test_no_pass_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reference, "of", lambda *_: pytest.fail("read the rows again"))
    monkeypatch.setattr(Reference, "loss", lambda *_: pytest.fail("read the rows again"))
    assert descentbench.fit(X, Y).excess is not None
    assert descentbench.fit(X, Y, loss="huber", standardize=True).excess is None
    monkeypatch.setattr(distance, "MOST_FEATURES", 2)
    assert descentbench.fit(X, Y).excess is None
