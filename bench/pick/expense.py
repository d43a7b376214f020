"""Estimate the running time of the next child process from the times of earlier ones."""

from __future__ import annotations

from bench.measure.plan import Task
from bench.pick.known import Known
from bench.pick.ladder import BYTES_A_SECOND
from bench.results.case import BASELINES, Case

SETUP, STEP = "test_setup.py", "test_step.py"
"""Benchmark files that child processes run.

`SETUP` measures one setup, which includes compiling the code. `STEP` times the steps of many
benchmark cases.
"""

SECONDS = 0.1
"""Time in seconds for which the steps of each benchmark case are timed."""

START_S = 1.0
"""Assumed seconds to start a library's first child process, without importing the library."""

UNKNOWN_COMPILE_S = 2.5
"""Assumed seconds of a first step that was not measured: about the compile time of Numba."""

LIKELY_COMPILE_S = 0.5
"""Assumed seconds to compile a backend's code, if no backend of its library was measured."""

SLOW_COMPILE_S = 10.0
"""Assumed seconds of a first step that was not measured, for the techniques in `SLOW`."""

NOT_CACHED = ("jax",)
"""Libraries that compile their code anew in every process and for every number of rows."""

SLOW = ("compile",)
"""Techniques that are known to compile for many seconds."""

STEPS_A_CASE = 15
"""Smallest number of descent steps that a child process runs for one benchmark case.

The number includes warm-up, timed steps and checks.
"""

OVERHEAD_S = 0.1
"""Assumed seconds for one benchmark case, in addition to placing, compiling and steps."""


COPYING = 0.1
"""Time to reuse the data of an earlier child process ÷ time to generate these data."""


def cost_s(known: Known, task: Task) -> float:
    """Return the estimated seconds of a child process from its start to its end."""
    library = Case.parse(task.cases[0]).library
    children = [s for s in known.spent if s.cases]
    alike = [s for s in children if Case.parse(s.cases[0]).library == library]
    same = [s for s in alike if s.suite == task.suite] or alike
    start = START_S
    if same:
        # If a process took longer than estimated, its cases may be the reason, not its start.
        start = min(
            min(s.seconds, max(0.3, s.seconds - _work_s(known, s.suite, s.cases))) for s in same
        )
    else:
        imports = [m.import_s for m in known.models.values() if m.backend.startswith(library)]
        start += max(imports, default=0.0)
    return start + _work_s(known, task.suite, task.cases)


def _work_s(known: Known, suite: str, texts: tuple[str, ...]) -> float:
    """Return the estimated duration of a child process in seconds, without its start."""
    cases = [case for text in texts if (case := Case.parse(text)).backend not in BASELINES]
    made = {case.size: case.bytes_per_step for case in cases}
    copied = {Case.parse(text).size for spent in known.spent for text in spent.cases}
    work = sum(
        (COPYING if size in copied else 1.0) * nbytes / BYTES_A_SECOND
        for size, nbytes in made.items()
    )
    if suite == SETUP:
        return work + sum(_setup_s(known, case) for case in cases)
    compiled: set[str] = set()
    for case in cases:
        work += _steps_s(known, case, compiled=case.backend in compiled)
        if case.library not in NOT_CACHED:
            compiled.add(case.backend)
    return work


def _setup_s(known: Known, case: Case) -> float:
    model = known.models[case.backend]
    if model.complete:
        return model.place_s(case.rows) + model.first_call_s(case.rows)
    waited = known.at_least.get(case.backend, 0.0)
    if model.observations.first_call:
        return max(s.value for s in model.observations.first_call)
    guess = SLOW_COMPILE_S if is_slow(case.backend) else UNKNOWN_COMPILE_S
    return max(guess if Case.parse(str(case)).library != "numpy" else 0.1, 1.5 * waited)


def _steps_s(known: Known, case: Case, *, compiled: bool) -> float:
    """Return the estimated seconds for a case: placing the data, compiling and timing steps.

    `compiled` is True if the process has compiled the backend before, for another size.
    """
    model = known.models[case.backend]
    step = model.step_s(case.rows) if model.observations.step else 0.0
    placing = model.place_s(case.rows) if model.complete else 0.0
    if compiled:
        compiles = 0.0
    elif not model.observations.place:
        compiles = SLOW_COMPILE_S if is_slow(case.backend) else _compile_s(known, case)
    elif model.complete and case.library in NOT_CACHED:
        compiles = model.first_call_s(case.rows) - step
    else:
        compiles = 0.0
    return max(SECONDS, STEPS_A_CASE * step) + min(placing, 1.0) + OVERHEAD_S + compiles


def _compile_s(known: Known, case: Case) -> float:
    """Return the longest measured compile time of the case's library, in seconds.

    The techniques `SLOW` do not count, because other estimates are used for them. If no compile
    time was measured, return `LIKELY_COMPILE_S`.
    """
    alike = [
        max(0.0, sample.value - model.step_s(sample.rows))
        for model in known.models.values()
        if model.complete and model.backend.split(":")[0].split("@")[0] == case.library
        for sample in model.observations.first_call
        if not is_slow(model.backend)
    ]
    return max(alike, default=LIKELY_COMPILE_S)


def is_slow(backend: str) -> bool:
    """Return whether the backend's technique is known to compile for many seconds."""
    technique = backend.partition(":")[2].partition("@")[0]
    return technique in SLOW
