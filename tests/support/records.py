"""Make records of made-up machines whose costs are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backends.names import Name
from bench.measure.read_curve import TASK
from bench.results.case import SQUARED, Case
from bench.results.record import Measurement, Outcome, Record

COSTS = {  # seconds: import, place, overhead of the first call, latency of a step, per byte
    "numpy": (0.0, 1e-3, 1e-4, 5e-6, 2.5e-10),
    "numpy:blocked": (0.0, 2e-3, 1e-4, 8e-6, 5e-11),
    "numba:parallel": (0.2, 5e-3, 2.0, 1e-6, 1.6e-11),
    "torch": (1.0, 5e-3, 0.05, 8e-5, 7e-10),
    "torch:analytic": (1.0, 5e-3, 0.02, 9e-6, 3e-11),
    "jax:loop": (0.5, 1e-2, 0.1, 1e-6, 2.5e-11),
    "numpy:gram": (0.0, 2e-3, 1e-5, 3e-8, 0.0),
}

READ_SECONDS_A_BYTE = 1.5e-11

SIZES = tuple((n, d) for d in (1, 32) for n in (100, 10_000, 1_000_000, 10_000_000 // d))

LAPTOP: dict[str, Any] = {
    "cpu": "Made-up Laptop CPU",
    "cpus": 4,
    "memory_bytes": 16 * 10**9,
    "caches": {"L1": 48 << 10, "L2": 1 << 20, "L3": 16 << 20},
    "os": "Linux",
    "python": "3.11.0",
    "gpus": [],
    "versions": {"numpy": "2.4.0", "torch": "2.13.0"},
    "threads": 4,
}

SERVER = LAPTOP | {"cpu": "Made-up Server CPU", "cpus": 64, "threads": 32}


def record(
    machine: Mapping[str, Any] = LAPTOP,
    *,
    passes: int = 3,
    spread: float = 0.02,
    seed: int = 0,
    factors: Mapping[str, float] | None = None,
    costs: Mapping[str, tuple[float, ...]] = COSTS,
    sizes: Sequence[tuple[int, int]] = SIZES,
    dtype: str = "float32",
    loss: str = SQUARED,
    failed: Mapping[str, str] | None = None,
    **fields: Any,
) -> Record:
    """Return the record of a complete run on a made-up machine.

    Parameters
    ----------
    machine : mapping
        Description of the machine.
    passes : int
    spread : float
        Standard deviation of the logarithm of times in different processes.
    seed : int
        Seed of the noise.
    factors : mapping, optional
        Backend → factor of its step times.
    costs : mapping
        Backend → costs, see `COSTS`.
    sizes : sequence
        (rows, features) of all cases.
    dtype, loss : str
    failed : mapping, optional
        Case → reason why it failed.
    **fields
        Fields of the `Record` to replace.
    """
    rng = np.random.default_rng(seed)
    if loss != SQUARED:
        costs = {name: cost for name, cost in costs.items() if ":gram" not in name}
    cases = [Case(b, n, d, dtype, loss) for n, d in sizes for b in costs]

    def noisy(value: float, of: float = spread) -> float:
        return float(value * np.exp(of * rng.standard_normal()))

    def step_s(case: Case) -> float:
        _, _, _, latency, a_byte = costs[case.backend]
        slower = (factors or {}).get(case.backend, 1.0)
        return slower * (latency + a_byte * case.bytes_per_step)

    tasks: dict[str, Outcome] = {}
    for case in cases:
        imports, place, overhead, *_ = costs[case.backend]
        memory = {"peak_bytes": 60_000_000 + 2 * case.bytes_per_step, "relative_error": 2e-8}
        found = [Measurement("import", str(case), (noisy(imports),))] if imports else []
        placed = noisy(place + 1e-10 * case.bytes_per_step)
        found.append(Measurement("place", str(case), (placed,)))
        first = noisy(overhead + step_s(case))
        found.append(Measurement("first_call", str(case), (first,), 1, memory))
        tasks[f"set-up {case}"] = Outcome(tuple(found))
    libraries = sorted({Name.parse(b).library for b in costs})
    for k in range(passes):
        for library in libraries:
            found = []
            for case in (c for c in cases if c.library == library):
                typical = noisy(step_s(case))
                info = {
                    "added_bytes": case.bytes_per_step,
                    "place_again_s": 1e-10 * case.bytes_per_step + 1e-5,
                    "relative_error": 3e-8 if "blocked" in case.backend else 1e-9,
                }
                samples = tuple(noisy(typical, 0.005) for _ in range(7))
                found.append(Measurement("step", str(case), samples, 1, info))
            for read in dict.fromkeys(case.read for case in cases):
                nbytes = read.bytes_per_step
                seconds = (noisy(nbytes * READ_SECONDS_A_BYTE),)
                found.append(Measurement("read", str(read), seconds, 1, {"bytes": nbytes}))
            tasks[f"pass {k + 1} of {passes}, {library}"] = Outcome(tuple(found))
    if failed:
        tasks["failures"] = Outcome(failures=dict(failed))
    request = {"rows": list(map(str, cases)), "passes": passes, "seconds": 0.2}
    whole = Record(
        *("2026-11-20T10:00:00.000+00:00", request, dict(machine), "0123456789ab"),
        tasks=tasks,
        complete=True,
    )
    return replace(whole, **fields)


def with_read_curve(run: Record) -> Record:
    """Return the record with a read curve of a machine with a cache of 512 MB.

    Without this curve, a run of smaller sizes has no measurements of the memory.
    """
    reads = tuple(
        Measurement(
            "read", f"read/{n // 8}x1/float32", (n / rate,), 1, {"bytes": n, "threads": 4}
        )
        for n in (1 << k for k in range(20, 31))
        for rate in [80e9 if n < 1 << 29 else 20e9]
    )
    return replace(run, tasks=run.tasks | {TASK: Outcome(reads)})
