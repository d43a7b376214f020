"""A descent's w on disk, so that another process can go on from there."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import DescentbenchError
from bench.host.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.rows.source import Source
    from bench.fit.descend import Epoch

FORMAT = "descentbench checkpoint 1"


class CheckpointError(DescentbenchError):
    """A checkpoint that cannot be used."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a descent stands, and what it is a descent of.

    Attributes
    ----------
    steps : int
        Taken so far.
    w : tuple of float
    learning_rate : float
    source : str
        Where the rows come from.
    rows : int
    dtype : str
    """

    steps: int
    w: tuple[float, ...]
    learning_rate: float
    source: str
    rows: int
    dtype: str

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_atomically(path, json.dumps({"format": FORMAT} | asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            It cannot be read, or is no checkpoint.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            kind = raw.pop("format")
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
        """Raise CheckpointError where this one, read from `path`, is of another descent."""
        for name in ("source", "rows", "dtype", "learning_rate"):
            mine, asked = getattr(self, name), getattr(other, name)
            if mine != asked:
                raise CheckpointError(
                    f"{path} is of another descent: its {name} is {mine!r}, not {asked!r}"
                )
        if len(self.w) != len(other.w):
            raise CheckpointError(
                f"{path} has {len(self.w)} weights, the data have {len(other.w)} features"
            )


class Track:
    """Where a descent starts, and where its w is kept.

    Parameters
    ----------
    source : Source
    learning_rate : float
    w0 : tuple of float, optional
        Where a new descent starts.
    checkpoint : Path, optional
        Where to keep w; by default where it was resumed from.
    resume : Path, optional
        A checkpoint to go on from.

    Raises
    ------
    CheckpointError
        The checkpoint is of another descent.
    """

    def __init__(
        self,
        source: Source,
        learning_rate: float,
        w0: Sequence[float] | None,
        checkpoint: Path | None,
        resume: Path | None,
    ) -> None:
        start = tuple(w0 or (0.0,) * source.features)
        of = source.source, source.rows, source.dtype
        self.path = checkpoint or resume
        self.at = Checkpoint(0, start, learning_rate, *of)
        if resume is not None:
            found = Checkpoint.load(resume)
            found.check(self.at, resume)
            self.at = found
        if self.path is not None:
            self.at.save(self.path)  # better now than when there is something to lose

    def keep(self, epoch: Epoch) -> None:
        """Note w, on disk if so asked."""
        self.at = replace(self.at, steps=epoch.epoch, w=epoch.w)
        if self.path is not None:
            self.at.save(self.path)

    def told(self) -> str:
        """Say how far it came and how to go on, to stand behind an error."""
        if self.path is None:
            return "; --checkpoint FILE would have kept w" if self.at.steps else ""
        return f"; w after step {self.at.steps} is in {self.path}: --resume {self.path} goes on"
