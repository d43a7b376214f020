"""Group saved records into sources. A source is one machine with one version of the code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from backends.names import Name, libraries
from bench.pick.fitting import fit
from bench.pick.model import CostModel
from bench.pick.regime import Regime
from bench.pick.ties import plainness
from bench.results.case import SQUARED, Case
from bench.results.record import Record
from bench.results.saved import Saved
from bench.results.summary import NOT_MEASURED, Result, summarise
from bench.show.roofline import Limit, limits


class Shape(NamedTuple):
    """Number of features, dtype and loss. `pick` models the times of each shape separately."""

    features: int
    dtype: str
    loss: str = SQUARED


@dataclass(frozen=True)
class Source:
    """All records of one machine with one version of the code.

    Attributes
    ----------
    label : str
        Short name; no other source on the page has the same name.
    records : tuple of Record
        Records of this machine and version, oldest first.
    """

    label: str
    records: tuple[Record, ...]

    @property
    def machine(self) -> dict[str, Any]:
        """Processor, caches, memory and versions, from the newest record."""
        return self.records[-1].machine

    @property
    def revision(self) -> str:
        """Git revision of the code; empty if unknown."""
        return self.records[-1].revision

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Total memory in bytes of each device: ``cpu``, ``cuda:0``, …."""
        gpus = {f"cuda:{i}": gpu["memory_bytes"] for i, gpu in enumerate(self.machine["gpus"])}
        known = {device: size for device, size in gpus.items() if size}
        return {"cpu": self.machine["memory_bytes"], **known}

    @cached_property
    def results(self) -> list[Result]:
        """The newest result of every case; it can be a time or a failure.

        A case is a backend at one size, with one dtype and loss. Cases that were never measured
        are left out.
        """
        found: dict[Case, Result] = {}
        for record in self.records:
            for result in summarise(record):
                if result.verified or result.reason != NOT_MEASURED:
                    found[result.case] = result
        return sorted(found.values(), key=_order)

    @cached_property
    def losses(self) -> list[str]:
        """Names of the measured losses: squared error first, then the others by name."""
        return sorted({r.loss for r in self.results}, key=_squared_first)

    def of_loss(self, loss: str) -> list[Result]:
        """Return the results for one loss."""
        return [result for result in self.results if result.loss == loss]

    @property
    def shapes(self) -> list[Shape]:
        """All combinations of features, dtype and loss with which a step was timed.

        The combinations with squared error are first.
        """
        found = {shape_of(r) for r in self.results if r.verified}
        return sorted(found, key=lambda s: (_squared_first(s.loss), s))

    @cached_property
    def limits(self) -> list[Limit]:
        """The times that show how fast a step can be, for each device and size.

        A `Limit` has the time to read the data once and, on the CPU, the time of a step in C.
        Both times are from the newest record with this device and size.
        """
        found = {
            (limit.device, *limit.data): limit
            for record in self.records
            for limit in limits(record)
            if limit.read_s is not None
        }
        return sorted(found.values(), key=lambda x: (x.device, x.features, x.dtype, x.rows))

    @cached_property
    def models(self) -> dict[Shape, list[CostModel]]:
        """The cost models of the backends for each combination of features, dtype and loss.

        Models of plain techniques, such as ``numpy``, are first. A model is left out if the
        setup or the steps of its backend were not measured. A combination is left out if it has
        fewer than two models.
        """
        found = {}
        for loss in self.losses:
            records = [record.of_loss(loss) for record in self.records]
            regime = Regime.of(records, self.machine)
            for shape in sorted({shape_of(r) for r in self.of_loss(loss)}):
                models, _ = fit(records, shape.features, shape.dtype, regime)
                complete = [m for m in models.values() if m.complete]
                if len(complete) > 1:
                    found[shape] = sorted(complete, key=lambda m: _plain_first(m.backend))
        return found


def shape_of(result: Result) -> Shape:
    """Return the number of features, the dtype and the loss of a result, as a `Shape`."""
    return Shape(result.features, result.dtype, result.loss)


def _squared_first(loss: str) -> tuple[bool, str]:
    return loss != SQUARED, loss


def _plain_first(backend: str) -> tuple[object, ...]:
    """Return a sort key for backends; plain techniques, such as ``numpy``, are first.

    Backends that are equally plain are sorted by library, in the catalogue's order.
    """
    order, name = list(libraries()), Name.parse(backend)
    place = order.index(name.library) if name.library in order else len(order)
    return (*plainness(backend), place, backend)


def _order(result: Result) -> tuple[object, ...]:
    seconds = result.step_s.median if result.step_s else math.inf
    size = (_squared_first(result.loss), result.features, result.dtype, result.rows)
    return (*size, result.least_squares_only, seconds, result.backend)


def sources(saved: Iterable[Saved]) -> list[Source]:
    """Group records by machine and version of the code; the newest source is first."""
    groups: dict[str, list[Record]] = {}
    for one in saved:
        key = json.dumps([one.record.machine, one.record.code], sort_keys=True)
        groups.setdefault(key, []).append(one.record)
    ordered = [sorted(g, key=lambda r: r.created) for g in groups.values()]
    ordered.sort(key=lambda group: group[-1].created, reverse=True)
    labels = _labels([group[-1] for group in ordered])
    return [Source(label, tuple(group)) for label, group in zip(labels, ordered, strict=True)]


def _labels(newest: Sequence[Record]) -> list[str]:
    """Return a label for each record: the processor and the number of threads.

    If two records would have the same label, the revision and the date are added to both.
    """
    plain = [machine_name(record.machine) for record in newest]
    dated = [
        f"{name}, {record.revision[:12] or record.code} of {record.created[:16]}"
        for name, record in zip(plain, newest, strict=True)
    ]
    return [
        name if plain.count(name) == 1 else more
        for name, more in zip(plain, dated, strict=True)
    ]


def machine_name(machine: dict[str, Any]) -> str:
    """Return a text with the processor, the number of threads and the GPUs."""
    cpu = machine["cpu"].replace("(R)", "").replace("(TM)", "").split(" CPU @")[0]
    threads = machine["threads"]
    gpus = sorted({gpu["name"] for gpu in machine["gpus"]})
    return ", ".join([f"{cpu} ({threads} thread{'s' * (threads > 1)})", *gpus])
