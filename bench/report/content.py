"""What the page's script draws from: plain numbers and words, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from backends.catalogue import open_backend
from backends.names import Name
from backends.problem import TOLERANCE, step_bytes
from backends.synthetic import generate
from bench.fit.descend import descend
from bench.measure.verify import LEARNING_RATE
from bench.pick.answer import sentence
from bench.pick.draws import DRAWS
from bench.pick.model import BETWEEN, COVERAGE, FARTHEST, CostModel
from bench.pick.recommend import TIE, Answer, Request, recommend
from bench.pick.throughput import IN_MEMORY, SEED
from bench.report.sources import Shape, Source
from bench.report.style import styles
from bench.results.summary import UNSTABLE

TYPICAL_ROWS = 1_000, 1_000_000, 1_000_000_000

TYPICAL_ITERATIONS = 100, 10_000

CURVE_BYTES = 200_000_000
"""Of larger data no convergence is drawn: their reference takes too long."""

CURVE_POINTS = 60

GAP = 1e-10
"""Convergence is followed until so much of the first excess loss is left."""


def content(found: Sequence[Source]) -> dict[str, Any]:
    """Return everything that the page shows."""
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
            "tie": TIE,
            "unstable": UNSTABLE,
        },
        "tolerance": TOLERANCE,
        "styles": {
            backend: {
                "colour": style.colour,
                "mark": style.mark[0] + ("-open" if style.hollow else ""),
                "dash": style.dash[0],
            }
            for backend, style in styles(backends).items()
        },
        "tutorial": _tutorial(),
        "curves": list(_curves(found)),
        "sources": [_source(source) for source in found],
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
        "models": [
            {
                "features": features,
                "dtype": dtype,
                "row_bytes": step_bytes(1, features, dtype),
                "backends": [_model(m) for m in models],
            }
            for (features, dtype), models in source.models.items()
        ],
        "picks": [_pick(answer) for answer in typical(source)],
    }


def _model(model: CostModel) -> dict[str, Any]:
    name = Name.parse(model.backend)
    more = {"device": name.device, "least_squares_only": name.least_squares_only}
    return model.as_dict() | more


def typical(source: Source) -> Iterator[Answer]:
    """Answer some requests that many people have, for the first shape that was measured."""
    for shape, models in list(source.models.items())[:2]:
        for rows in TYPICAL_ROWS:
            for iterations in TYPICAL_ITERATIONS:
                yield answer(source, shape, models, rows, iterations)


def answer(
    source: Source, shape: Shape, models: Sequence[CostModel], rows: int, iterations: int
) -> Answer:
    """Answer as ``pick`` would on that machine with all its memory free."""
    features, dtype = shape
    request = Request(rows, features, iterations, dtype, source.memory_bytes)
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
        "pick": answer.pick,
        "tied": list(answer.tied),
        "total_s": asdict(line.total_s) if line and line.total_s else None,
        "loop_pick": answer.loop_pick,
        "loop_total_s": asdict(loop.total_s) if loop and loop.total_s else None,
        "fits": answer.fits,
        "why": sentence(answer),
    }


def _tutorial() -> dict[str, Any]:
    """Return the classic hundred points and the line that a hundred steps come to."""
    problem = generate(100)
    fit = descend(open_backend("numpy"), problem, LEARNING_RATE, steps=100)
    return {
        "x": problem.x.tolist(),
        "y": problem.y.tolist(),
        "w": fit.w[0],
        "loss": fit.loss,
        "steps": fit.steps,
    }


def _curves(found: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """Yield, for every size, the loss above its minimum after some steps from w = 0.

    By the float64 reference, which every backend's w was checked against.
    """
    sizes = {r.case.size for source in found for r in source.results if r.verified}
    for rows, features, dtype in sorted(sizes, key=lambda s: (s[1], s[2], s[0])):
        if step_bytes(rows, features, dtype) > CURVE_BYTES:
            continue
        of = generate(rows, features, dtype).reference
        start = np.zeros(features)
        least = of.loss(of.solution)
        first = of.loss(start) - least
        steps = np.unique(np.geomspace(1, 1e7, CURVE_POINTS * 3).astype(int))
        gaps = [(0, first)]
        for k in steps.tolist():
            apart = of.iterate(k, LEARNING_RATE, start) - of.solution
            gap = float(apart @ of.gram @ apart)  # the loss's own difference would cancel
            gaps.append((k, gap))
            if gap <= GAP * first:
                break
        yield {
            "rows": rows,
            "features": features,
            "dtype": dtype,
            "steps": [k for k, _ in gaps],
            "gap": [gap for _, gap in gaps],
        }
