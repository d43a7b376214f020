"""Collect the numbers and texts that the HTML page of the report contains as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backends.names import Name
from backends.problem import TOLERANCE, step_bytes
from bench.pick.draws import COVERAGE, DRAWS, TAIL
from bench.pick.drift import SEED as DRIFT_SEED
from bench.pick.model import FARTHEST, CostModel
from bench.pick.near import NEAR, SCOUT_BYTES
from bench.pick.recommend import Answer, Request, recommend
from bench.pick.sentences import sentence
from bench.pick.steps import BETWEEN
from bench.pick.throughput import IN_MEMORY, SEED
from bench.pick.ties import TIE
from bench.report.convergence import curves, tutorial
from bench.report.sources import Shape, Source
from bench.report.style import styles
from bench.results.case import NATIVE, READ, Case
from bench.results.summary import UNSTABLE

TYPICAL_ROWS = 1_000, 1_000_000, 1_000_000_000
"""Numbers of rows for which the page shows recommended backends."""

TYPICAL_ITERATIONS = 100, 10_000
"""Numbers of iterations for which the page shows recommended backends."""

TYPICAL_SHAPES = 2
"""For each loss, the page recommends backends for at most this many shapes. A shape is a
number of features with a dtype."""


def content(found: Sequence[Source]) -> dict[str, Any]:
    """Return all data that the page's scripts read, ready for JSON."""
    backends = [r.backend for source in found for r in source.results]
    return {
        "created": datetime.now(UTC).isoformat(timespec="minutes"),
        "constants": {
            "coverage": COVERAGE,
            "draws": DRAWS,
            "between": BETWEEN,
            "farthest": FARTHEST,
            "in_memory": IN_MEMORY,
            "memory_seed": SEED,
            "drift_seed": DRIFT_SEED,
            "near": NEAR,
            "scout_bytes": SCOUT_BYTES,
            "tail": TAIL,
            "tie": TIE,
            "unstable": UNSTABLE,
        },
        "tolerance": TOLERANCE,
        "styles": {
            backend: {
                "colour": style.colour,
                "mark": style.mark[0],
                "hollow": style.hollow,
                "dash": style.dash[0],
            }
            for backend, style in styles(backends).items()
        },
        "tutorial": tutorial(),
        "curves": list(curves(found)),
        "sources": [_source(source) for source in found],
        "first": next((i for i, source in enumerate(found) if source.models), 0),
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "label": source.label,
        "machine": source.machine,
        "revision": source.revision,
        "code": source.records[-1].code,
        "taken": [source.records[0].created, source.records[-1].created],
        "memory_bytes": source.memory_bytes,
        "results": [r.as_dict() for r in source.results],
        "limits": list(_limits(source)),
        "models": [
            {
                **shape._asdict(),
                "row_bytes": step_bytes(1, shape.features, shape.dtype),
                "backends": [_model(m) for m in models],
            }
            for shape, models in source.models.items()
        ],
        "picks": [_pick(answer) for answer in typical(source)],
    }


def _limits(source: Source) -> Iterator[dict[str, Any]]:
    """Yield the time to read the data and the time of a step in C, for each size.

    Small data are left out, because the memory does not limit the speed of their steps.
    """
    for limit in source.limits:
        if limit.bounds:
            yield {
                "device": limit.device,
                "rows": limit.rows,
                "features": limit.features,
                "dtype": limit.dtype,
                "loss": limit.loss,
                "bytes": Case(READ, *limit.size).bytes_per_step,
                "read_s": limit.read_s,
                f"{NATIVE}_s": limit.native_s,
            }


def _model(model: CostModel) -> dict[str, Any]:
    name = Name.parse(model.backend)
    more = {"device": name.device, "least_squares_only": name.least_squares_only}
    return model.as_dict() | more


def typical(source: Source) -> Iterator[Answer]:
    """Yield a recommendation for each of `TYPICAL_ROWS` with each of `TYPICAL_ITERATIONS`.

    For each loss, only the first `TYPICAL_SHAPES` keys of `source.models` are used.
    """
    of_loss: dict[str, int] = {}
    for shape, models in source.models.items():
        of_loss[shape.loss] = of_loss.get(shape.loss, 0) + 1
        if of_loss[shape.loss] > TYPICAL_SHAPES:
            continue
        for rows in TYPICAL_ROWS:
            for iterations in TYPICAL_ITERATIONS:
                yield answer(source, shape, models, rows, iterations)


def answer(
    source: Source, shape: Shape, models: Sequence[CostModel], rows: int, iterations: int
) -> Answer:
    """Return what ``pick`` would recommend if the machine's whole memory were free.

    `models` are the cost models of the backends for `shape`.
    """
    memory = source.memory_bytes
    request = Request(rows, shape.features, iterations, shape.dtype, memory, loss=shape.loss)
    return recommend(models, request, {})


def _pick(answer: Answer) -> dict[str, Any]:
    request = answer.request
    line = answer.of(answer.pick) if answer.pick else None
    loop = answer.of(answer.loop_pick) if answer.loop_pick else None
    return {
        "rows": request.rows,
        "features": request.features,
        "iterations": request.iterations,
        "dtype": request.dtype,
        "loss": request.loss,
        "pick": answer.pick,
        "tied": list(answer.tied),
        "total_s": asdict(line.total_s) if line and line.total_s else None,
        "loop_pick": answer.loop_pick,
        "loop_total_s": asdict(loop.total_s) if loop and loop.total_s else None,
        "fits": answer.fits,
        "why": sentence(answer),
    }
