"""Store the weights of a descent in a file from which another process can continue."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import DescentbenchError
from bench.fit.scaling import Scaling
from bench.host.files import write_atomically
from bench.results.case import SQUARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.fit.descend import Epoch
    from bench.fit.scaled import Prepared

FORMAT = "descentbench checkpoint 1"
"""Value of the field ``format`` in checkpoint files; the number is the version of the
format."""


class CheckpointError(DescentbenchError):
    """A checkpoint cannot be used."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights w of a descent after some steps, with the data and settings of the descent.

    Attributes
    ----------
    steps : int
        Number of steps taken so far.
    w : tuple of float
        Weights; if there is a `scaling`, they are the weights for the scaled columns.
    learning_rate : float
    source : str
        Description of where the rows came from.
    rows : int
    dtype : str
    loss : str
        Name of the loss.
    scaling : Scaling, optional
        How the columns are scaled, and whether a column of ones is added for an intercept. None
        means that the columns are not scaled and that there is no intercept.
    """

    steps: int
    w: tuple[float, ...]
    learning_rate: float
    source: str
    rows: int
    dtype: str
    loss: str = SQUARED
    scaling: Scaling | None = None

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        write_atomically(path, json.dumps({"format": FORMAT} | asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint that `save` wrote.

        Raises
        ------
        CheckpointError
            The file cannot be read, or is not a checkpoint.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            kind = raw.pop("format")
            scaling = raw.get("scaling")
            raw["scaling"] = None if scaling is None else Scaling.from_fields(scaling)
            found = cls(**raw | {"w": tuple(map(float, raw["w"])), "steps": int(raw["steps"])})
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise CheckpointError(f"{path} is not a checkpoint: {error}") from None
        if kind != FORMAT:
            raise CheckpointError(f"{path} is a {kind!r}; this version reads {FORMAT!r}")
        if found.steps < 0 or not all(map(math.isfinite, found.w)):
            raise CheckpointError(f"{path} is damaged: steps {found.steps}, w {found.w[:4]}")
        return found

    def check(self, other: Checkpoint, path: Path) -> None:
        """Raise CheckpointError if a descent with other data or settings wrote this checkpoint.

        Parameters
        ----------
        other : Checkpoint
            A checkpoint with the data and the settings of the current descent.
        path : Path
            The file of `self`, for the error message.
        """
        for name in ("source", "rows", "dtype", "loss", "learning_rate"):
            mine, asked = getattr(self, name), getattr(other, name)
            if mine != asked:
                raise CheckpointError(
                    f"{path} is of another descent: its {name} is {mine!r}, not {asked!r}"
                )
        self._check_scaling(other, path)
        if len(self.w) != len(other.w):
            raise CheckpointError(
                f"{path} has {len(self.w)} weights, the data have {len(other.w)} features"
            )

    def _check_scaling(self, other: Checkpoint, path: Path) -> None:
        """Raise CheckpointError if `self` and `other` have different scalings."""
        mine, asked = (c.scaling.options() if c.scaling else () for c in (self, other))
        if mine != asked:
            raise CheckpointError(
                f"{path} is of another descent: that descent was made with "
                f"{' '.join(mine) or 'neither --intercept nor --standardize'}, not with "
                f"{' '.join(asked) or 'neither'}"
            )
        if self.scaling != other.scaling:
            raise CheckpointError(
                f"{path} is of other data: the columns had other means and deviations"
            )


class Track:
    """The current w of a descent, kept in memory and optionally in a checkpoint file.

    Parameters
    ----------
    ready : Prepared
        The rows, and the scaling of their columns.
    learning_rate : float
    w0 : tuple of float, optional
        Weights at the start of a new descent, for the scaled columns; zeros by default.
    checkpoint : Path, optional
        File to write. If `checkpoint` is None, the file `resume` is updated. If both are None,
        no file is written.
    resume : Path, optional
        Checkpoint from which the descent continues; None starts a new descent.

    Raises
    ------
    CheckpointError
        `resume` cannot be read, or was written by a descent with other data or settings.
    """

    def __init__(
        self,
        ready: Prepared,
        learning_rate: float,
        w0: Sequence[float] | None,
        checkpoint: Path | None,
        resume: Path | None,
    ) -> None:
        source = ready.source
        start = tuple(w0 or (0.0,) * source.features)
        of = source.source, source.rows, source.dtype, source.loss.name, ready.used()
        self.path = checkpoint or resume
        self.at = Checkpoint(0, start, learning_rate, *of)
        if resume is not None:
            found = Checkpoint.load(resume)
            found.check(self.at, resume)
            self.at = found
        if self.path is not None:
            self.at.save(self.path)  # fail now if the path cannot be written

    def keep(self, epoch: Epoch) -> None:
        """Store the weights of `epoch` in memory and, if `path` is not None, in this file."""
        self.at = replace(self.at, steps=epoch.epoch, w=epoch.w)
        if self.path is not None:
            self.at.save(self.path)

    def told(self) -> str:
        """Return text that names the file with w, and the option that continues the descent."""
        if self.path is None:
            return "; --checkpoint FILE would have saved w" if self.at.steps else ""
        return f"; w after step {self.at.steps} is in {self.path}: --resume {self.path} goes on"
