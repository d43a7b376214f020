"""Make cost models from observations of a made-up machine."""

from __future__ import annotations

import numpy as np

from bench.pick.curves import Sample
from bench.pick.model import CostModel
from bench.pick.observations import Observations

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 30_000_000)


def observed(
    *,
    import_s: float = 0.5,
    place: tuple[float, float] = (1e-3, 1e-9),
    overhead: float = 0.2,
    step: tuple[float, float] = (1e-5, 3e-10),
    sizes: tuple[int, ...] = SIZES,
    noise: float = 0.0,
    seed: int = 0,
    base: float = 60e6,
    added: float = 4.0,
) -> Observations:
    """Return the observations of a made-up backend: three processes measure each size.

    Parameters
    ----------
    import_s, overhead : float
        Seconds of the import, and of the first call in addition to a step.
    place, step : (float, float)
        Constant seconds, and seconds per row.
    sizes : tuple of int
        Measured numbers of rows.
    noise : float
        Standard deviation of the logarithm of each time.
    seed : int
        Seed of the noise.
    base, added : float
        Memory of the process in bytes, and further bytes per row in addition to the data.
    """
    rng = np.random.default_rng(seed)

    def noisy(value: float) -> float:
        return float(value * np.exp(noise * rng.standard_normal()))

    def step_s(n: int) -> float:
        return step[0] + step[1] * n

    setups = (10_000, sizes[-1])
    return Observations(
        imports=tuple(noisy(import_s) for _ in range(3)),
        place=tuple(Sample(n, noisy(place[0] + place[1] * n)) for n in setups),
        place_again=tuple(Sample(n, noisy(1e-5 + place[1] * n)) for n in sizes),
        first_call=tuple(Sample(n, noisy(overhead + step_s(n))) for n in setups),
        step=tuple(Sample(n, noisy(step_s(n))) for n in sizes for _ in range(3)),
        peak_bytes=tuple(Sample(n, base + (8 + added) * n) for n in setups),
        added_bytes=tuple(Sample(n, added * n) for n in sizes),
    )


def model(seen: Observations | None = None, backend: str = "numpy") -> CostModel:
    return CostModel(backend, seen or observed(), 1, "float32")
