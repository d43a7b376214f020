"""Test a table like the California housing data: every library finds lstsq's minimum.

The columns have the ranges, means, deviations and main correlations of the real table (R. K.
Pace and R. Barry, 1997; 20,640 rows). Their sizes differ by a factor of 1000. The means of
latitude and longitude are 17 and 60 deviations from 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import main
from tests.support.backends import parameters

ROWS = 20_640

COLUMNS = {  # lowest, highest, mean and standard deviation
    "MedInc": (0.4999, 15.0001, 3.8707, 1.8998),
    "HouseAge": (1, 52, 28.639, 12.586),
    "AveRooms": (0.8462, 141.909, 5.429, 2.4742),
    "AveBedrms": (0.3333, 34.067, 1.0967, 0.4739),
    "Population": (3, 35682, 1425.48, 1132.46),
    "AveOccup": (0.6923, 1243.33, 3.0707, 10.386),
    "Latitude": (32.54, 41.95, 35.632, 2.136),
    "Longitude": (-124.35, -114.31, -119.57, 2.0035),
}

CORRELATIONS = {
    (0, 1): -0.12, (0, 2): 0.33, (0, 6): -0.08, (1, 2): -0.15, (1, 4): -0.3, (1, 7): -0.11,
    (2, 3): 0.85, (2, 6): 0.11, (4, 6): -0.11, (4, 5): 0.07, (4, 7): 0.1, (6, 7): -0.92,
}  # fmt: skip

BEST = (
    *("numpy:blocked", "numba:parallel", "torch:analytic", "torch:compile", "jax:loop"),
    *("jax:blocked", "numpy:gram", "numba:gram", "torch:gram", "jax:gram"),
)


def houses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    correlation = np.eye(8)
    for (i, j), value in CORRELATIONS.items():
        correlation[i, j] = correlation[j, i] = value
    low, high, mean, deviation = np.array([*COLUMNS.values()]).T
    z = rng.standard_normal((ROWS, 8)) @ np.linalg.cholesky(correlation).T
    x = np.clip(mean + deviation * z, low, high)
    x[:2] = low, high
    w = [0.4367, 0.00944, -0.1073, 0.6451, -3.976e-6, -0.003787, -0.4213, -0.4345]
    return x, np.clip(x @ w - 36.94 + 0.72 * rng.standard_normal(ROWS), 0.15, 5)


X, Y = houses()
ONES = np.column_stack([X, np.ones(ROWS)])
EXACT = np.linalg.lstsq(ONES, Y)[0]
LEAST = float(np.mean((ONES @ EXACT - Y) ** 2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("houses") / "houses.csv"
    header = ",".join([*COLUMNS, "MedHouseVal"])
    np.savetxt(path, np.column_stack([X, Y]), "%.17g", ",", header=header, comments="")
    return path


def fit(data: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    words = ["fit", "--data", str(data), *map(str, arguments), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document, done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", parameters(lambda name: str(name) in BEST))
def test_every_library_reaches_the_minimum_of_lstsq(
    data: Path, backend: str, dtype: str
) -> None:
    found, said = fit(
        *(data, "--intercept", "--standardize", "--lr", "auto", "--dtype", dtype),
        *("--backend", backend, "--steps", 1500, "--every", 1500),
    )
    w = np.append(found["w"], found["intercept"])
    loss = float(np.mean((ONES @ w - Y) ** 2))
    assert loss <= LEAST * (1 + 1e-9)
    assert w == pytest.approx(EXACT, rel=1e-4)
    assert found["loss"] == pytest.approx(LEAST, rel=1e-5)
    assert found["excess"]["relative"] < 1e-9
    assert found["excess"]["condition_number"] < 200
    assert said == ""


def test_without_either_the_steps_are_useless_and_the_remedy_is_right(data: Path) -> None:
    """Fixed bug: there was no warning that the loss was still 9 times the minimum."""
    found, said = fit(data, "--intercept", "--lr", "auto", "--steps", 500, "--dtype", "float64")
    unlike, warning = said.splitlines()
    assert "'Population' about" in unlike
    assert "--standardize" in unlike
    assert "condition number" in warning
    assert "with --standardize --learning-rate auto about" in warning
    excess = found["excess"]
    assert excess["condition_number"] > 1e9
    assert excess["relative"] == pytest.approx(found["loss"] / LEAST - 1, rel=1e-4)
    assert excess["minimum"] == pytest.approx(LEAST)
    assert excess["more_steps"] > 1e6
    steps = excess["standardized_steps"]
    assert excess["standardized_condition_number"] < 200
    again, said = fit(
        *(data, "--intercept", "--standardize", "--lr", "auto", "--dtype", "float64"),
        *("--steps", round(1.1 * steps)),
    )
    assert said == ""
    assert again["excess"]["finished"]
    assert not fit(
        *(data, "--intercept", "--standardize", "--lr", "auto", "--dtype", "float64"),
        *("--steps", steps // 3),
    )[0]["excess"]["finished"]
