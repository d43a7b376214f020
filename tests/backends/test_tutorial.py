"""Test that every backend on the CPU prints exactly the tables of the tutorial.

The tutorial did not fix the seed of its noise. But w depends on the data only through two
means, mean(x²) and mean(x·y). The values x = 0, 0.1 … 9.9 fix mean(x²). The printed numbers
restrict mean(x·y) to the intervals below. All data with mean(x·y) inside its interval must
print the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from backends import Problem, generate, open_backend
from backends.catalogue import entries
from backends.problem import make_problem
from bench.fit.descend import descend

CPU_BACKENDS = [str(e.name) for e in entries() if e.available and e.name.device == "cpu"]
LEARNING_RATE = 0.001
X = np.arange(100) / 10


@dataclass(frozen=True)
class Listing:
    """Printed numbers of one listing, and the interval of mean(x·y) that they allow."""

    w: dict[int, float]
    x: float
    prediction: float
    mean_xy: tuple[float, float]

    @property
    def problem(self) -> Problem:
        """Return data ``y = 2x + noise`` whose mean(x·y) is the middle of the interval."""
        noise = np.random.default_rng(0).random(100)
        wanted = np.mean(self.mean_xy) - 2 * np.mean(X * X)
        return make_problem(X, 2 * X + noise * wanted / np.mean(X * noise))


EPOCHS = (1, 21, 41, 61, 81)
NUMPY = Listing(
    w=dict(zip(EPOCHS, (0.142, 1.639, 2.024, 2.123, 2.148), strict=True)),
    x=7,
    prediction=15.084,
    mean_xy=(70.83187, 70.83491),
)
TORCH = Listing(
    w=dict(zip(EPOCHS, (0.140, 1.618, 1.999, 2.096, 2.121), strict=True)),
    x=5,
    prediction=10.638,
    mean_xy=(69.93819, 69.94059),
)
LISTINGS = pytest.mark.parametrize("listing", [NUMPY, TORCH], ids=["numpy", "torch"])


@LISTINGS
def test_the_interval_is_what_the_printed_numbers_allow(listing: Listing) -> None:
    square = np.mean(X * X)

    def w_per_mean_xy(steps: int) -> float:
        return (1 - (1 - 2 * LEARNING_RATE * square) ** steps) / square

    printed = [(w_per_mean_xy(epoch), w) for epoch, w in listing.w.items()]
    printed.append((listing.x * w_per_mean_xy(100), listing.prediction))
    low = max((value - 0.0005) / scale for scale, value in printed)
    high = min((value + 0.0005) / scale for scale, value in printed)
    assert (low, high) == pytest.approx(listing.mean_xy, abs=1e-5)


@LISTINGS
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_the_printed_tables(backend: str, listing: Listing) -> None:
    fit = descend(open_backend(backend), listing.problem, LEARNING_RATE, predict=[(listing.x,)])
    printed = {epoch.epoch: round(epoch.w[0], 3) for epoch in fit.epochs}
    assert printed.pop(100) == round(fit.w[0], 3)
    assert printed == listing.w
    assert round(fit.predictions[0].y, 3) == listing.prediction


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_the_classic_run_from_its_own_recipe(backend: str) -> None:
    fit = descend(open_backend(backend), generate(100), LEARNING_RATE, predict=[(7.0,)])
    assert fit.w[0] == pytest.approx(2.15, abs=0.05)
    assert fit.predictions[0].y == pytest.approx(15, abs=0.3)
