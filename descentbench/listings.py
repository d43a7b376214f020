"""List the backends of this machine, and saved results, for Python programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

    from backends.losses import Loss


def backends(loss: str | Loss = "squared_error") -> list[dict[str, Any]]:
    """Return all backends, and why some of them cannot run on this machine.

    Every installed library is imported, because only the library can list its devices.

    Parameters
    ----------
    loss : str or object
        The loss that the backends minimise; see `fit`.

    Returns
    -------
    list of dict
        One dict for each backend; ``pandas.DataFrame(backends())`` makes a data frame. The keys
        are:

        - ``backend``, ``library``, ``technique`` and ``device``: names;
        - ``available``: whether the backend can run on this machine and with this loss;
        - ``reason``: why the backend cannot run, or None;
        - ``note``: why the backend is slower than it could be, or None.

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
    """Return the saved results of ``descentbench run`` and ``pick``, the oldest run first.

    Parameters
    ----------
    what : path or str
        One of these:

        - the path of a result file, or of a folder of result files;
        - the name that ``run --name`` gave to results in `store`;
        - the name of a file in `store`, without the suffix ``.json``;
        - the first seven or more digits of the git revision of results in `store`.
    store : path
        Folder of the stored results.

    Returns
    -------
    list of dict
        One dict for each benchmark case of each result file; ``pandas.DataFrame(results())``
        makes a data frame. The keys are the columns of ``run --format csv``, further fields of
        ``run --json``, and these:

        - ``step_s_low`` and ``step_s_high``: the 95 % confidence interval of ``step_s``;
        - ``record``: path of the result file;
        - ``created`` and ``cpu``: date and processor of the run;
        - ``name`` and ``revision``: name of the run, and git revision of the code.

        Times are in seconds and memory is in bytes. Values that were not measured are None.

    Raises
    ------
    DescentbenchError
        There are no results with the name `what`, or a file is not a result file.
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
