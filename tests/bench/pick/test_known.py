"""Test the state of a pick: which stored measurements count for a request."""

from __future__ import annotations

import pytest

from bench.pick.curves import Sample
from bench.pick.known import near_only
from bench.pick.model import CostModel
from bench.pick.observations import Observations


@pytest.mark.parametrize(
    ("rows", "features", "measured", "kept"),
    [
        (30_000_000, 1, [100], False),
        (30_000_000, 1, [100, 10_000], False),
        (30_000_000, 1, [100, 1_000_000], True),
        (10**9, 1, [10**7], True),
        (100, 1, [100], True),
        (100, 1, [1_000_000], False),
        (1_000_000, 32, [300], False),
        (1_000_000, 32, [30_000], True),
        (3_000, 32, [1_000], True),
    ],
)
def test_steps_far_from_the_request_are_measured_again(
    rows: int, features: int, measured: list[int], kept: bool
) -> None:
    """Fixed bug: measurements at 100 rows predicted 54 s for 3·10⁷ rows, which take 0.1 s."""
    seen = Observations(
        place=(Sample(100, 8e-3),),
        first_call=(Sample(100, 1e-4),),
        step=tuple(Sample(n, 1e-5) for n in measured),
    )
    found = near_only(CostModel("numpy:blocked", seen, features, "float32"), rows)
    assert len(found.observations.step) == (len(measured) if kept else 0)


@pytest.mark.parametrize(("rows", "kept"), [(100, False), (3_000_000, True), (10**9, True)])
def test_a_setup_with_far_more_rows_is_measured_again(rows: int, kept: bool) -> None:
    """Fixed bug: the first call with 3·10⁷ rows excluded plain NumPy for 100 rows."""
    seen = Observations(
        place=(Sample(30_000_000, 7e-3),),
        first_call=(Sample(30_000_000, 0.5),),
        step=(Sample(100, 8e-6), Sample(1_000_000, 3e-3)),
        shared=True,
    )
    found = near_only(CostModel("numpy", seen, 1, "float32"), rows)
    assert found.complete is kept
    assert found.observations.shared is kept
