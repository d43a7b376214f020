"""Fit cost models to records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from backends.names import Name
from bench.pick.drift import drift_of
from bench.pick.model import CostModel
from bench.pick.observations import (
    Observations,
    import_seconds,
    memory_throughput,
    steady_observations,
)
from bench.pick.regime import Regime
from bench.pick.spread import machine_spreads
from bench.pick.throughput import MemoryThroughput
from bench.results.record import Record


def fit(
    records: Sequence[Record], features: int, dtype: str, regime: Regime
) -> tuple[dict[str, CostModel], MemoryThroughput]:
    """Fit a model to each backend in the records; return the models and memory throughput."""
    cache_bytes = regime.cache_bytes
    memory = memory_throughput(records, cache_bytes)
    seen = steady_observations(records, features, dtype, memory)
    spreads = machine_spreads(seen.values())
    drift = drift_of(records, cache_bytes)
    models = {
        name: CostModel(
            *(name, of, features, dtype, cache_bytes, spreads, memory.states, regime.curve),
            drift,
        )
        for name, of in seen.items()
    }
    return models, memory


def fit_named(
    names: Iterable[str], records: Sequence[Record], shape: tuple[int, str], regime: Regime
) -> tuple[dict[str, CostModel], MemoryThroughput]:
    """Fit a model to each named backend, including unmeasured ones."""
    fitted, memory = fit(records, *shape, regime)
    imports = import_seconds(records)
    spreads = machine_spreads(m.observations for m in fitted.values())
    drift = drift_of(records, regime.cache_bytes)
    models = {}
    for name in names:
        seen = fitted[name].observations if name in fitted else Observations()
        seconds: Sequence[float] = imports.get(Name.parse(name).library, ())
        if not seen.imports and seconds:
            seen = replace(seen, imports=tuple(seconds))
        models[name] = CostModel(
            *(name, seen, *shape, regime.cache_bytes, spreads, memory.states, regime.curve),
            drift,
        )
    return models, memory
