"""Compute the fewest iterations at which a GPU is faster than the CPU, setup included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backends.names import Name
from bench.pick.model import CostModel
from bench.report.sources import Source, machine_name
from bench.results.case import SQUARED
from bench.show.formats import markdown_text
from bench.show.text import count

MOST_ITERATIONS = 1e9
"""Largest number of iterations for which a GPU and a CPU are compared."""

ASKED = 1000
"""Number of iterations in README's comparison of a GPU with the CPU. README lists only the
sizes at which the GPU is faster for this number of iterations."""


@dataclass(frozen=True)
class Pays:
    """The fewest iterations at which a GPU is faster than the CPU, at one size.

    Attributes
    ----------
    rows, features : int
    dtype : str
    iterations : float or None
        None if the GPU is not faster even for `MOST_ITERATIONS` iterations.
    gpu, cpu : str
        The fastest backend on the GPU and on the CPU for `iterations` iterations. If
        `iterations` is None, they are the fastest for `MOST_ITERATIONS` iterations.
    """

    rows: int
    features: int
    dtype: str
    iterations: float | None
    gpu: str
    cpu: str


def pays(source: Source) -> Iterator[Pays]:
    """Yield, for each size, the fewest iterations at which the GPU is faster than the CPU.

    Only sizes measured on both the GPU and the CPU are used. The compared times include the
    setup. Backends that work only for squared error are left out.
    """
    for shape, models in source.models.items():
        if shape.loss != SQUARED:
            continue
        loops = [m for m in models if not Name.parse(m.backend).least_squares_only]
        cpu = [m for m in loops if Name.parse(m.backend).device == "cpu"]
        gpu = [m for m in loops if Name.parse(m.backend).device.startswith("cuda")]
        if not (cpu and gpu):
            continue
        sizes = {s.rows for m in gpu for s in m.observations.step}
        for rows in sorted(sizes & {s.rows for m in cpu for s in m.observations.step}):
            found = from_iterations(gpu, cpu, rows)
            at = MOST_ITERATIONS if found is None else found
            best = [min(side, key=lambda m: m.total_s(rows, at)).backend for side in (gpu, cpu)]
            yield Pays(rows, shape.features, shape.dtype, found, *best)


def fastest(models: Iterable[CostModel], rows: int, iterations: float) -> CostModel:
    """Return the cost model that predicts the shortest time for these rows and iterations.

    The time includes the setup.
    """
    return min(models, key=lambda model: model.total_s(rows, iterations))


def from_iterations(
    gpu: Sequence[CostModel], cpu: Sequence[CostModel], rows: int
) -> float | None:
    """Return the fewest iterations at which the GPU takes less time than the CPU.

    The times are those of the fastest backend on each device. The result is None if the GPU is
    not faster even for 10⁹ iterations (`MOST_ITERATIONS`).
    """

    def wins(iterations: float) -> bool:
        total, other = (
            fastest(side, rows, iterations).total_s(rows, iterations) for side in (gpu, cpu)
        )
        return total < other

    if not wins(MOST_ITERATIONS):
        return None
    if wins(1):
        return 1
    low, high = 0.0, math.log10(MOST_ITERATIONS)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if wins(10**middle) else (middle, high)
    return float(10**high)


def section(sources: Iterable[Source]) -> list[str]:
    """Return a list with the section about GPUs for docs/results.md.

    The section has a table for each machine that was measured on its GPU and its CPU. Without
    such a machine, the list is empty.
    """
    parts = []
    for source in sources:
        lines = [
            [
                *(f"{count(p.rows)} × {p.features}", p.dtype, _from(p.iterations)),
                *(f"`{p.gpu}`", f"`{p.cpu}`"),
            ]
            for p in pays(source)
        ]
        if lines:
            names = ["rows × features", "dtype", "iterations", "on the GPU", "on the CPU"]
            parts.append(f"{machine_name(source.machine)}:\n\n{markdown_text(names, lines)}")
    if not parts:
        return []
    said = (
        "The number of iterations from which the GPU is faster than the CPU of its machine. "
        "Import, transfer to the device and first call are included; `gram` is left out."
    )
    return ["\n".join(["## When a GPU pays off\n", f"{said}\n", *parts])]


def _from(iterations: float | None) -> str:
    return "never" if iterations is None else count(float(f"{iterations:.2g}"))


def sentence(sources: Iterable[Source]) -> str:
    """Return a sentence for README that says at which sizes a GPU is faster than the CPU.

    The sentence is about the newest results of a machine that was measured on its GPU and its
    CPU. Without such a machine, the text is empty.
    """
    for source in sources:
        found = [p for p in pays(source) if p.dtype == "float32"]
        if not found:
            continue
        name = source.machine["gpus"][0]["name"] if source.machine["gpus"] else "The GPU"
        fewest = [p for p in found if p.iterations is not None and p.iterations <= ASKED]
        if not fewest:
            return (
                f"{name}: up to {count(ASKED)} iterations the CPU is faster at every measured "
                "size, transfer and first call included ([docs/results.md](docs/results.md))."
            )
        sizes = ", ".join(
            f"{count(p.rows)} × {p.features} from {_from(p.iterations)} iterations"
            for p in sorted(fewest, key=lambda p: (p.features, p.rows))
        )
        return (
            f"{name} is faster than its machine's CPU, transfer and first call included: "
            f"{sizes} ([docs/results.md](docs/results.md))."
        )
    return ""
