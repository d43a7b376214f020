"""List the backends of this machine, and saved results, for Python programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

    from backends.losses import Loss


def backends(loss: str | Loss = "squared_error") -> list[dict[str, Any]]:
    """Return all backends, with the reason for each backend that cannot run on this machine.

    Every installed library is imported, because only the library can list its devices.

    Parameters
    ----------
    loss : str or object
        The loss that the backends minimise; see `fit`.

    Returns
    -------
    list of dict
        One dict for each backend: ``backend`` (its name), ``library``, ``technique``,
        ``device``, ``available`` (bool), ``reason`` (why the backend cannot run on this machine
        or with this loss; None if it can) and ``note`` (why the backend is slower than it could
        be; None if it is not). ``pandas.DataFrame(backends())`` makes a data frame.

    Raises
    ------
    ProblemError
        The loss does not exist.
    """
    from backends import catalogue
    from descentbench.given_loss import loss_of

    minimised = loss_of(loss)
    return [
        entry.as_dict(catalogue.note(entry.name, minimised) if entry.available else "")
        for entry in catalogue.entries(loss=minimised)
    ]


def results(
    what: str | PathLike[str] = ".benchmarks", store: str | PathLike[str] = ".benchmarks"
) -> list[dict[str, Any]]:
    """Return saved results of ``descentbench run`` and ``pick``, the oldest record first.

    Parameters
    ----------
    what : path or str
        The file of a record, or a folder of records. A record in the store can also be named by
        its name from ``run --name``, by its file's name without the suffix, or by the first
        seven or more digits of its git revision.
    store : path
        Folder of the stored results.

    Returns
    -------
    list of dict
        One dict for each benchmark case of each record. Its keys are the columns of
        ``run --format csv`` and further fields of ``run --json``. Times are in seconds
        (``step_s`` with its 95 % confidence interval ``step_s_low`` and ``step_s_high``),
        memory is in bytes, and values that were not measured are None. ``record`` (path),
        ``created``, ``name``, ``revision`` and ``cpu`` describe the record.
        ``pandas.DataFrame(results())`` makes a data frame.

    Raises
    ------
    DescentbenchError
        No results have this name, or the file is not a result.
    """
    from bench.results.saved import find
    from bench.results.summary import summarise
    from bench.show.formats import flat

    return [
        {
            "record": str(saved.path),
            "created": saved.record.created,
            "name": saved.record.name,
            "revision": saved.record.revision,
            "cpu": saved.record.machine["cpu"],
        }
        | flat(result.as_dict())
        for saved in find(str(what), Path(store))
        for result in summarise(saved.record)
    ]
