"""Test JAX's devices and JAX's setting for float64."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str) -> list[str]:
    """Run code in a fresh process and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_opening_jax_is_what_switches_float64_on() -> None:
    pytest.importorskip("jax")
    code = (
        "import jax, backends, bench; before = jax.config.jax_enable_x64; "
        "backends.open_backend('jax'); print(before, jax.config.jax_enable_x64)"
    )
    assert python(code) == ["False", "True"]


DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from backends import catalogue, generate, open_backend
from backends.reference import relative_error

print(*(entry.name.device for entry in catalogue.entries(["jax"]) if not entry.name.technique))
problem = generate(1009, 3, "float64")
expected = problem.reference.iterate(10, 0.001, np.zeros(3))
for technique in ("jax", "jax:loop"):
    results = []
    for number, device in enumerate(("cpu", "cpu:1")):
        descent = open_backend(f"{technique}@{device}").place(problem, 0.001)
        results.append(descent.run(np.zeros(3), 10))
        results.append(descent.run(descent.run(np.zeros(3), 4), 6))
        assert relative_error(results[-1], expected) <= 1e-12
        assert abs(descent.loss(expected) / problem.reference.loss(expected) - 1) <= 1e-12
        held = [array for array in jax.live_arrays() if array.nbytes >= problem.y.nbytes]
        assert held
        assert {d for array in held for d in array.devices()} == {jax.devices()[number]}
        del descent, held
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-13)
"""


def test_two_jax_devices_agree_and_each_holds_its_own_data() -> None:
    pytest.importorskip("jax")
    assert python(DEVICES) == ["cpu", "cpu:1"]
