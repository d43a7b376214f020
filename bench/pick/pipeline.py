"""Run a whole pick, from the question to the answer.

A pick reads earlier measurements, measures, and recommends a backend. For a long descent, and
for data that are too large, it also predicts how long several machines together would take. For
``--verify``, it compares its predictions with new measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backends import catalogue, open_backend
from backends.errors import BackendError
from backends.losses import SQUARED_ERROR, Loss
from backends.names import Name, libraries
from backends.rows.streamed import Streamed
from bench.host.limits import available_bytes
from bench.host.lock import hold_when_asked
from bench.host.machine import describe
from bench.host.noise import noticed
from bench.measure.verify import LEARNING_RATE
from bench.measure.version import code_version
from bench.pick import several_machines
from bench.pick.explorer import Explorer, Measure
from bench.pick.known import Known, Setting
from bench.pick.observations import alike, noises
from bench.pick.question import Question, request_of
from bench.pick.recommend import Answer, recommend
from bench.pick.several_machines import Machines
from bench.pick.shares import shares
from bench.pick.verification import Check, held_out_sizes, measure_cases, verify
from bench.results.record import Record

RESERVE = 0.15
"""Largest fraction of the time budget that is kept to predict the time on several machines.

The prediction needs a measurement of its own: how fast two processes exchange data.
"""


@dataclass(frozen=True)
class Picked:
    """The result of a pick: the answer, the measurements, and further predictions.

    Attributes
    ----------
    answer : Answer
    known : Known
    earlier : sequence of Record
        Measurements from the store.
    record : Record
        The measurements of this pick.
    interrupt : KeyboardInterrupt or None
        Ctrl-C or the signal that ended the measuring early. None if the measuring was not
        interrupted.
    noise : sequence of str
        Remarks about disturbances of the measurements.
    a_pass_s : float or None
        Seconds of a step that reads its rows from the file of ``--data``. None without
        ``--data``, or if the rows fit in memory.
    machines : Machines or None
        The predicted time on several machines. None if it could not be predicted. Also None if
        one machine is enough, because the data fit in its memory and the descent is short.
    check : Check or None
        The result of ``--verify``. None without ``--verify``, or if nothing could be checked.
    """

    answer: Answer
    known: Known
    earlier: Sequence[Record]
    record: Record
    interrupt: KeyboardInterrupt | None
    noise: Sequence[str]
    a_pass_s: float | None = None
    machines: Machines | None = None
    check: Check | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or a signal ended the measuring early."""
        return self.interrupt is not None

    @property
    def failed(self) -> bool:
        """True if a backend failed. Also True if no backend can be recommended."""
        models = self.known.models.values()
        return self.answer.pick is None or any(m.observations.failure for m in models)


Report = Callable[[str, float, str], None]
"""Progress callback, called before each task.

The arguments are the task's name, a fraction, and the answer so far in words. The fraction is
the part of the budget that is spent. While ``--verify`` runs, the fraction is the part of the
check that is finished.
"""


def pick(question: Question, report: Report, measure: Measure | None = None) -> Picked:
    """Answer a question; measure only if earlier measurements are not enough for an answer."""
    machine, code, loss = describe(question.threads), code_version(), question.loss
    earlier = (
        [] if question.fresh else alike(question.store, machine.as_dict(), code, loss.name)
    )
    asked = {
        "backends": list(question.backends),
        "devices": list(question.devices),
        "libraries": sorted(libraries()),
    }
    names, missing = candidates(earlier, asked, loss, loop_only=question.loop_only)
    request = request_of(question, machine)
    setting = Setting(
        *(request, tuple(names), machine.as_dict(), code, question.threads),
        *(available_bytes(), missing),
    )
    with hold_when_asked(question.store) as claim:
        explorer = Explorer(
            *(setting, question.store, earlier, question.budget, asked, claim, measure)
        )
        with explorer:
            picked = _picked(explorer, _explore(explorer, report))
            if not picked.interrupted:
                picked = _stages(explorer, picked, question, report)
        return picked


def candidates(
    earlier: Sequence[Record],
    asked: dict[str, list[str]],
    loss: Loss = SQUARED_ERROR,
    *,
    loop_only: bool,
) -> tuple[list[str], dict[str, str]]:
    """Return the backends to choose from, and a dict of the backends that cannot run here.

    The dict has the reason for each backend that cannot run. If an earlier pick had the
    same options, the list and the dict are copied from its record. Copying saves seconds,
    because a search for backends imports every library.
    """
    for record in earlier:
        before: dict[str, Any] = record.request.get("pick", {})
        if {**asked, "loop_only": loop_only, "loss": loss.name}.items() <= before.items():
            return list(before["names"]), dict(before.get("missing", {}))
    devices = asked["devices"]
    names = catalogue.select(asked["backends"], devices, loss)
    missing = catalogue.unavailable(asked["backends"], loss)
    if asked["backends"] == ["*"]:  # backends for several machines only if named
        names = [name for name in names if not name.distributed]
        missing = {b: why for b, why in missing.items() if not Name.parse(b).distributed}
    if devices:
        missing = {b: why for b, why in missing.items() if Name.parse(b).device in devices}
    if loop_only:
        names = [name for name in names if not name.least_squares_only]
        missing = {b: why for b, why in missing.items() if not Name.parse(b).least_squares_only}
        if not names:
            raise BackendError("--loop-only leaves nothing to choose from")
    return [str(name) for name in names], missing


def _explore(explorer: Explorer, report: Report) -> KeyboardInterrupt | None:
    """Measure the backends; return the interrupt if Ctrl-C ended the measurements, or None."""

    def tell(what: str, share: float, known: Known) -> None:
        report(what, share, so_far(known))

    def reserve(known: Known) -> float:
        seconds = several_machines.missing_s(known, explorer.records)
        return seconds if seconds <= RESERVE * explorer.budget else 0.0

    try:
        explorer.explore(tell, reserve)
    except KeyboardInterrupt as interrupt:
        return interrupt
    return None


def so_far(known: Known) -> str:
    """Return the answer so far in a few words; empty if no backend can be recommended yet."""
    from bench.pick.sentences import span

    answer = recommend(list(known.models.values()), known.request, {})
    if answer.pick is None:
        return ""
    total = answer.of(answer.pick).total_s
    assert total is not None  # noqa: S101 the pick has a total
    return f"so far {answer.pick}: {span(total)}"


def _picked(explorer: Explorer, interrupt: KeyboardInterrupt | None) -> Picked:
    """Recommend a backend from the measurements so far."""
    known = explorer.known
    shape = known.request.features, known.request.dtype
    answer = recommend(
        list(known.models.values()),
        known.request,
        explorer.unmeasured(),
        shares(known, explorer.records),
        known.excluded,
    )
    noise = noticed(noises(explorer.records, *shape))
    return Picked(answer, known, explorer.earlier, explorer.record, interrupt, noise)


def _stages(explorer: Explorer, picked: Picked, question: Question, report: Report) -> Picked:
    """Add the last results to a pick: the time on several machines, and a verification.

    Each result is added only if it is needed. If Ctrl-C ends this function, the pick is
    returned with the results that are finished.
    """
    try:
        picked = _with_machines(explorer, picked, question)
        if question.verify and picked.answer.pick:
            check = _verified(picked, question, explorer.claim, report)
            picked = replace(picked, check=check)
    except KeyboardInterrupt as interrupt:
        return replace(picked, interrupt=interrupt)
    return picked


def _with_machines(explorer: Explorer, picked: Picked, question: Question) -> Picked:
    """Return the pick with two more predictions, where they are needed.

    - If the data of ``--data`` exceed the memory, the pick gets the time of a step that reads
      the file.
    - If the data exceed the memory or the descent is long, the pick gets the time of the
      descent on several machines.
    """
    answer, request = picked.answer, picked.known.request
    if answer.loop_pick is None:
        return picked
    a_pass = None
    if question.source is not None and not answer.fits:
        backend = open_backend(answer.loop_pick)
        a_pass = Streamed(backend, question.source, LEARNING_RATE).seconds_a_pass()
    model = picked.known.models[answer.loop_pick]
    machines = None
    wanted = several_machines.wanted(model, request, fits=answer.fits)
    if wanted and several_machines.installed():
        seconds = several_machines.exchange_s(explorer.records, request)
        if seconds is None and explorer.can_spend(several_machines.STAGE_S):
            explorer.stage(several_machines.task(request))
            seconds = several_machines.exchange_s(explorer.records, request)
        if seconds is not None:
            machines = several_machines.across(model, request, seconds)
    return replace(picked, a_pass_s=a_pass, machines=machines)


def _verified(
    picked: Picked, question: Question, claim: Callable[[], None], report: Report
) -> Check | None:
    """Measure all backends at new numbers of rows; compare the measured and predicted times."""
    claim()
    return verify(
        picked.known,
        lambda cases: measure_cases(
            cases, question.threads, question.store, lambda what, share: report(what, share, "")
        ),
        held_out_sizes(picked.known),
    )
