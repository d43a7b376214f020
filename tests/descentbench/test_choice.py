"""Test ``backend="auto"``: the fastest backend in the store, or the default."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import descentbench
from backends.errors import BackendError
from backends.losses import HUBER, SQUARED_ERROR, Loss
from bench.host.machine import describe
from bench.measure.version import code_version
from bench.measure.worker import Children
from descentbench import choice
from descentbench.choice import backend_for, default_backend
from descentbench.log import LOG
from descentbench.picking import default_threads
from tests.support import records


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with results of this machine; measuring anything fails the test."""
    monkeypatch.setattr(Children, "run", lambda *_: pytest.fail("was measured"))
    costs = {
        "numpy": (0.0, 1e-3, 1e-4, 5e-6, 2.5e-10),
        "numpy:blocked": (0.0, 2e-3, 1e-4, 8e-6, 5e-11),
        "numba:parallel": (0.2, 5e-3, 2.0, 1e-6, 1.6e-11),
        "dask:numpy": (0.0, 0.0, 0.0, 1e-9, 1e-15),
    }
    machine = describe(default_threads()).as_dict()
    record = records.record(machine, costs=costs, code=code_version())
    record.save(tmp_path / "run-1.json")
    return tmp_path


def chosen(store: Path, features: tuple[int, ...] = (32,), **how: Any) -> str:
    asked = {"rows": 10**6, "steps": 100, "dtype": "float32", "loss": SQUARED_ERROR} | how
    return backend_for(features=features, store=store, **asked)


def test_the_stored_measurements_answer(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOG.name):
        assert chosen(store) == "numpy:blocked"
        assert chosen(store, steps=10**6) == "numba:parallel"  # compiling pays off
    assert f"numba:parallel, from the measurements in {store}" in caplog.text


def test_fewer_features_answer_for_an_intercept(store: Path) -> None:
    assert chosen(store, (33, 32)) == "numpy:blocked"


@pytest.mark.parametrize(
    "how", [{"features": (7,)}, {"dtype": "float64"}, {"loss": HUBER}], ids=str
)
def test_without_measurements_the_default_answers(
    store: Path, how: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    features = how.get("features", (32,))
    default = default_backend(features[0], 100, how.get("loss", SQUARED_ERROR))
    with caplog.at_level(logging.INFO, LOG.name):
        assert chosen(store, **how) == default
    assert f"backend auto: {default}, the default, because {store} has no" in caplog.text


def test_measurements_of_another_machine_do_not_answer(store: Path) -> None:
    (store / "run-1.json").unlink()
    records.record(code=code_version()).save(store / "run-2.json")
    assert chosen(store) == "numpy:gram"


def test_backends_that_failed_or_are_gone_are_left_out(store: Path) -> None:
    machine = describe(default_threads()).as_dict()
    failed = {"numpy:blocked/1000000x32/float32": "w was wrong"}
    record = records.record(
        machine,
        code=code_version(),
        failed=failed,
        costs={
            "numpy": (0.0, 1e-3, 1e-4, 5e-6, 2.5e-10),
            "numpy:blocked": (0.0, 2e-3, 1e-4, 8e-6, 5e-11),
        },
    )
    record.request["rows"].append("gone/1000000x32/float32")
    record.save(store / "run-1.json")
    assert chosen(store) == "numpy"


def test_the_defaults() -> None:
    assert default_backend(10, 100, SQUARED_ERROR) == "numpy:gram"
    assert default_backend(101, 100, SQUARED_ERROR) == "numpy:blocked"
    assert default_backend(10, 100, HUBER) == "numpy:blocked"


def test_without_a_library_that_differentiates(monkeypatch: pytest.MonkeyPatch) -> None:
    valued = Loss("valued", lambda xp, p, y: xp.abs(p - y))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "torch")
    assert default_backend(1, 1, valued) == "torch"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendError, match="valued has no slope, and neither jax nor torch"):
        default_backend(1, 1, valued)


def test_a_fit_uses_the_choice(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spied(*args: Any) -> str | None:
        seen.setdefault("asked", args)
        return "numpy:blocked"

    monkeypatch.setattr(choice, "_recommended", spied)
    x = np.random.default_rng(0).random((50, 3))
    fitted = descentbench.fit(x, x[:, 0], intercept=True, steps=10, store=store)
    assert fitted.backend == "numpy:blocked"
    assert seen["asked"] == (50, 4, 10, "float64", SQUARED_ERROR, store)
