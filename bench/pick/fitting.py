"""Fit cost models, which predict the times of backends, to saved measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from backends.names import Name
from bench.pick.doubt import without_pauses
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
    """Fit a model to each backend in the records.

    Returns
    -------
    models : dict
        The keys are the backends. The values are their cost models.
    memory : MemoryThroughput
        The throughput of memory, estimated from the records.
    """
    seen, model, memory = _prepared(records, (features, dtype), regime)
    return {name: model(name, of) for name, of in seen.items()}, memory


def fit_named(
    names: Iterable[str], records: Sequence[Record], shape: tuple[int, str], regime: Regime
) -> tuple[dict[str, CostModel], MemoryThroughput]:
    """Fit a model to each named backend; return the models and the memory throughput.

    A backend without measurements in the records also gets a model. This model contains at most
    the import times of the backend's library.
    """
    found, model, memory = _prepared(records, shape, regime)
    imports = import_seconds(records)
    models = {}
    for name in names:
        seen = found.get(name, Observations())
        seconds: Sequence[float] = imports.get(Name.parse(name).library, ())
        if not seen.imports and seconds:
            seen = replace(seen, imports=tuple(seconds))
        models[name] = model(name, seen)
    return models, memory


Model = Callable[[str, Observations], CostModel]
"""Function that makes the cost model of a backend from its name and its observations."""


def _prepared(
    records: Sequence[Record], shape: tuple[int, str], regime: Regime
) -> tuple[dict[str, Observations], Model, MemoryThroughput]:
    """Collect what `fit` and `fit_named` need to make cost models.

    Return the observations of each backend, a function that makes a backend's cost model from
    its observations, and the throughput of memory.
    """
    memory = memory_throughput(records, regime.cache_bytes)
    steady = steady_observations(records, *shape, memory)
    found = {name: without_pauses(seen) for name, seen in steady.items()}
    spreads = machine_spreads(found.values())
    drift = drift_of(records, regime.cache_bytes)

    def model(name: str, seen: Observations) -> CostModel:
        return CostModel(
            *(name, seen, *shape, regime.cache_bytes, spreads, memory.states, regime.curve),
            drift,
        )

    return found, model, memory
