"""Recommend a backend, from new measurements or from stored measurements."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.errors import BackendError
from descentbench.checked import positive, whole
from descentbench.log import LOG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from backends.losses import Loss
    from bench.pick.pipeline import Picked
    from bench.pick.recommend import Answer


@dataclass(frozen=True)
class PickResult:
    """The result of `pick`.

    Attributes
    ----------
    backend : str
        The recommended backend.
    loop_backend : str or None
        The best backend that works for any loss: backends with a ``gram`` technique are left
        out. None if no other backend was measured.
    tied : tuple of str
        Other backends that can be as fast as the recommended backend: the measurements do not
        show which of these backends is the fastest.
    seconds : tuple of float
        Predicted total time with the recommended backend, setup included, in seconds: (low,
        median, high). The time lies between low and high with a probability of 90 %.
    fits : bool
        Whether the data fit in memory with the recommended backend. If False, they fit in
        memory with none of the backends, as far as is known.
    why : str
        The recommendation and all remarks as text, as the command prints them.
    table : list of dict
        One dict for each backend, the fastest first, with the columns of ``pick --format csv``.
        Times are in seconds, memory is in bytes, and unknown values are None.
        ``pandas.DataFrame(pick.table)`` makes a data frame.
    answer : bench.pick.recommend.Answer
        The same answer as an object, with all candidates. It also has the crossovers: the
        numbers of rows at which the fastest backend changes.
    """

    backend: str
    loop_backend: str | None
    tied: tuple[str, ...]
    seconds: tuple[float, float, float]
    fits: bool
    why: str
    table: list[dict[str, Any]]
    answer: Answer
    _document: dict[str, Any]

    def __str__(self) -> str:
        return self.why

    def to_dict(self) -> dict[str, Any]:
        """Return the document that ``pick --json`` prints."""
        return self._document


def pick(
    rows: int,
    features: int = 1,
    *,
    iterations: int = 1000,
    dtype: str = "float32",
    loss: str | Loss = "squared_error",
    backends: Sequence[str] = ("*",),
    devices: Sequence[str] = (),
    loop_only: bool = False,
    memory: int | None = None,
    budget: float = 60.0,
    fresh: bool = False,
    threads: int | None = None,
    store: str | PathLike[str] = ".benchmarks",
) -> PickResult:
    """Recommend a backend, as ``descentbench pick`` does.

    Child processes measure short descents over data of several sizes, for at most `budget`
    seconds. From these measurements, the time of the whole descent is predicted. Earlier
    measurements of this machine are reused from the store. The first pick on a machine imports
    the installed libraries into this process to list their backends.

    Parameters
    ----------
    rows, features, iterations : int
        Numbers of rows, of features and of steps.
    dtype : {"float32", "float64"}
    loss : str or Loss
        A built-in loss or its name, or ``FILE.py:NAME``; the child processes import the file.
    backends, devices : sequence of str
        Names or patterns, such as ``numba*``, of the backends and devices to choose from; by
        default all.
    loop_only : bool
        Whether to recommend only backends that read the rows in every step and work for any
        loss. Backends with a ``gram`` technique are left out.
    memory : int, optional
        Memory in bytes that the descent is allowed to use; by default all free memory.
    budget : float
        Time limit for measuring, in seconds.
    fresh : bool
        Whether to ignore the measurements in the store and measure anew.
    threads : int, optional
        Number of threads of each library. The default is the number of CPUs that this process
        can use. ``OMP_NUM_THREADS`` or ``SLURM_CPUS_PER_TASK`` can set a smaller default.
    store : path
        Folder of the stored measurements.

    Returns
    -------
    PickResult

    Raises
    ------
    ProblemError
        The size, dtype or loss is not possible.
    BackendError
        A backend does not exist, or no backend was measured completely.
    DescentbenchError
        The store is in use by another run, or cannot be written.
    KeyboardInterrupt
        The user pressed Ctrl-C. The measurements so far are in the store, and the next call
        continues with them.
    """
    from backends.problem import check_shape
    from bench.host.limits import cpu_count
    from bench.pick import page, pipeline
    from bench.pick.question import Question
    from bench.show.formats import flat

    whole(rows=rows, features=features, iterations=iterations)
    rows, features, iterations = int(rows), int(features), int(iterations)  # 1e9 is a float
    check_shape(rows, features, dtype)
    positive(budget=budget)
    if memory is not None:
        whole(memory=memory)
    if threads is not None:
        whole(most=cpu_count(), threads=threads)
    question = Question(
        rows=rows,
        features=features,
        iterations=iterations,
        dtype=dtype,
        backends=tuple(backends),
        devices=tuple(devices),
        threads=threads or default_threads(),
        store=Path(store),
        loop_only=loop_only,
        memory=memory,
        budget=budget,
        fresh=fresh,
        loss=_from_anywhere(loss),
    )
    picked = pipeline.pick(question, _progress)
    if picked.interrupt is not None:
        raise picked.interrupt
    said = page.remarks(picked, verify=False)
    document = page.as_json(picked, said)
    if picked.answer.pick is None:
        raise BackendError(f"{document['why']} {_reasons(picked)}")
    for remark in (*picked.noise, *_failures(picked)):
        LOG.warning("pick: %s", remark)
    LOG.info("pick: %s", document["why"])
    answer = picked.answer
    total = answer.of(answer.pick or "").total_s
    assert total is not None  # noqa: S101 a recommended backend has a total
    return PickResult(
        backend=answer.pick or "",
        loop_backend=answer.loop_pick,
        tied=answer.tied,
        seconds=(total.low, total.median, total.high),
        fits=answer.fits,
        why=document["why"],
        table=[flat(candidate.as_dict()) for candidate in answer.candidates],
        answer=answer,
        _document=document,
    )


def default_threads() -> int:
    """Return the default number of threads: the number of CPUs that this process can use.

    ``OMP_NUM_THREADS`` or ``SLURM_CPUS_PER_TASK`` can set a smaller number.
    """
    from bench.host.limits import cpu_count
    from bench.host.threads import asked_for

    cpus = cpu_count()
    asked, name = asked_for(os.environ) or (cpus, "")
    if asked < cpus:
        LOG.info("%s=%d: %d threads, although %d CPUs may be used", name, asked, asked, cpus)
    return min(cpus, asked)


def _from_anywhere(loss: Any) -> Loss:
    """Return the loss; raise ProblemError if child processes cannot import the loss."""
    from backends.errors import ProblemError
    from backends.losses import LOSSES
    from bench.measure.known_losses import register

    if isinstance(loss, str):
        return register(loss)
    if loss in LOSSES.values():
        return register(loss.name)
    raise ProblemError("pick measures in other processes: give your loss as FILE.py:NAME")


def _progress(task: str, share: float, so_far: str) -> None:
    """Log the part of the budget that is spent, the present task, and the answer so far.

    The parameter `so_far` is empty before the first answer.
    """
    LOG.info("pick: %.0f %% of the budget: %s%s", 100 * share, task, so_far and f"; {so_far}")


def _failures(picked: Picked) -> list[str]:
    """Return a text with the reason for each backend whose measurement failed."""
    models = picked.known.models.values()
    found = [(m.backend, m.observations.failure) for m in models]
    return [f"{backend} failed: {why}" for backend, why in found if why]


def _reasons(picked: Picked) -> str:
    """Return why no time was predicted for some backends: ``numba: reason; jax: reason``."""
    found: dict[str, list[str]] = {}
    for line in picked.answer.candidates:
        if line.total_s is None:
            found.setdefault(line.reason, []).append(line.backend)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())
