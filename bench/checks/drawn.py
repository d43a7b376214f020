"""Make random simulated machines, random costs of backends, and random requests to `pick`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backends.names import Name
from backends.problem import step_bytes
from bench.checks.made_up import Costs, MadeUp, log_uniform
from bench.pick.known import is_gram
from bench.pick.recommend import Request
from bench.pick.steps import SEPARATE_PRODUCTS, temporaries

CPU = (
    *("numpy", "numpy:blocked", "numpy:gram"),
    *("numba", "numba:parallel", "numba:gram"),
    *("torch", "torch:analytic", "torch:compile", "torch:gram"),
    *("jax", "jax:loop", "jax:blocked", "jax:gram"),
)
"""Backends on the CPU, in the catalogue's order."""

GPU = ("torch@cuda:0", "torch:analytic@cuda:0", "jax@cuda:0", "jax:loop@cuda:0")
"""Backends on a GPU, in addition to `CPU`."""

COMPILED = ("numba", "torch:compile", "jax")
"""Prefixes of the names of backends that compile code in their first call."""

COPIES = 0.2
"""Fraction of the simulated techniques that copy data only up to a random size limit."""


def draw_machine(rng: np.random.Generator, budget: float, *, gpu: bool) -> MadeUp:
    """Return a simulated machine with random properties and random costs of its backends.

    The parameter `budget` is the time in seconds that a pick on this machine can take. A longer
    budget allows longer simulated compile times.
    """
    cores = int(log_uniform(rng, 1, 128))
    memory = min(log_uniform(rng, 5e9, 5e11), 4e10 * cores)
    cache = int(log_uniform(rng, 1 << 20, 1.1e9))
    guest = rng.random() < 0.25  # a virtual machine uses a small share of its host's cache
    names = CPU + (GPU if gpu else ())
    device = log_uniform(rng, 3e11, 3e12)
    libraries = {
        "numpy": 0.0,
        "numba": log_uniform(rng, 0.2, 1.0),
        "torch": log_uniform(rng, 0.8, 4.0),
        "jax": log_uniform(rng, 0.4, 2.0),
    }
    slow = rng.choice([1.0, 1.0, rng.uniform(1.2, 2.0)])
    costs = {name: draw_costs(rng, name, libraries, cores, device, budget) for name in names}
    return MadeUp(
        costs,
        cache_bytes=int(cache / rng.choice([8, 64])) if guest else cache,
        reported_bytes=cache,
        memory_rate=memory,
        cache_rate=memory * rng.uniform(1.2, 5.0),
        slow=float(slow),
        dwell_s=log_uniform(rng, 5, 300),
        noise=log_uniform(rng, 0.02, 0.12),
        setup_noise=log_uniform(rng, 0.05, 0.2),
        start_s=log_uniform(rng, 0.5, 1.2),
        making=log_uniform(rng, 2e8, 1e9),
        seed=int(rng.integers(1 << 31)),
    )


def read_again(machine: MadeUp, features: int) -> None:
    """Make each step of the backends in `SEPARATE_PRODUCTS` read the data once more.

    With a single feature, the simulated machine is not changed.
    """
    for name in SEPARATE_PRODUCTS if features > 1 else ():
        of = machine.costs[name]
        machine.costs[name] = replace(of, reads=of.reads + 1)


def disturb(machine: MadeUp, rng: np.random.Generator) -> None:
    """Make a simulated machine harder to predict.

    Some setups then include a pause. Some techniques copy small data, but use large data
    without a copy.
    """
    machine.pauses = log_uniform(rng, 0.002, 0.05)
    for name, of in machine.costs.items():
        limit = log_uniform(rng, 1e5, 1e8)
        if rng.random() < COPIES and Name.parse(name).technique and not is_gram(name):
            machine.costs[name] = replace(of, copied_bytes=limit)


def draw_costs(
    rng: np.random.Generator,
    name: str,
    libraries: dict[str, float],
    cores: int,
    device: float,
    budget: float,
) -> Costs:
    """Return random costs of a backend; `libraries` has the import time of each library."""
    parsed = Name.parse(name)
    gpu = parsed.device != "cpu"
    compiles = 0.0
    if name.startswith(COMPILED):
        slow = parsed.technique == "compile"
        most = budget / 4 if slow else budget / 12
        compiles = log_uniform(rng, 2.0 if slow else 0.02, max(most, 2.1))
    # Plain array code allocates temporary arrays, whose page faults cost as much as reads.
    more = 3 if temporaries(parsed) else 1
    parallel = cores if parsed.technique or parsed.library != "numpy" else 1
    return Costs(
        import_s=libraries[parsed.library],
        opening_s=rng.uniform(0.2, 1.5) if gpu else log_uniform(rng, 1e-4, 1e-2),
        compile_s=compiles,
        latency_s=log_uniform(rng, 1e-5, 1e-4) if gpu else log_uniform(rng, 3e-7, 1e-4),
        arithmetic_s=0.0 if gpu else log_uniform(rng, 5e-12, 5e-10) / parallel,
        reads=0.0 if is_gram(name) else more * log_uniform(rng, 1.0, 4.0),
        placing=log_uniform(rng, 1e9, 2e10)
        if not is_gram(name)
        else log_uniform(rng, 5e8, 5e9),
        bytes_per_s=device if gpu else 0.0,
    )


def draw_request(rng: np.random.Generator, machine: MadeUp) -> Request:
    """Return a random request to `pick`.

    The request is about data with at least 100 rows, which fill at most a quarter of memory.
    """
    features = int(rng.choice([1, 1, 4, 32, 200]))
    row = step_bytes(1, features, "float32")
    rows = int(log_uniform(rng, 100, machine.memory_bytes / 4 / row))
    iterations = int(log_uniform(rng, 1, 1e5))
    memory = {"cpu": machine.memory_bytes, "cuda:0": 40 * 10**9}
    return Request(rows, features, iterations, "float32", memory)
