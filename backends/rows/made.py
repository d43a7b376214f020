"""Sources without a file: generated rows, and rows that are already in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from backends.errors import ProblemError
from backends.losses import Loss
from backends.problem import Problem, step_bytes
from backends.rows.blocks import Piece
from backends.rows.source import BLOCK_BYTES, Source
from backends.synthetic import generate


@dataclass(frozen=True, eq=False)
class Generated(Source):
    """Synthetic rows, made by `backends.synthetic.generate` whenever they are read."""

    features: int = 1
    dtype: str = "float32"
    seed: int = 0

    @property
    def source(self) -> str:
        return f"synthetic, {self.rows} × {self.features}, seed {self.seed}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        rows = max(1, BLOCK_BYTES // step_bytes(1, self.features, self.dtype))
        for first in range(start, stop, rows):
            made = self.load(first, min(first + rows, stop))
            yield [made.x.reshape(-1, self.features)], made.y

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Generate rows `start` to `stop`; all rows by default."""
        shape = self.rows, self.features, self.dtype, self.seed
        made = generate(*shape, start=start, stop=stop, loss=self.loss)
        return Problem(made.x, made.y, self.source, known_finite=True, loss=self.loss)


@dataclass(frozen=True, eq=False)
class InMemory(Source):
    """Rows of a problem that is in memory already."""

    problem: Problem

    @classmethod
    def of(cls, problem: Problem) -> InMemory:
        """Return a source with the rows of a problem, which are not copied."""
        size = problem.rows, problem.features, problem.dtype
        return cls(*size, problem, loss=problem.loss)

    def with_loss(self, loss: Loss) -> Self:
        """Return the rows with the loss `loss`; raise ProblemError if it rejects a target."""
        try:
            loss.check(self.problem.y)
        except ProblemError as error:
            where = f"{self.origin.path}: " if self.origin else ""
            raise ProblemError(f"{where}{error}") from None
        kept = self.problem
        single_pass = kept.single_pass
        problem = Problem(kept.x, kept.y, kept.source, True, single_pass, loss)
        return replace(self, problem=problem, loss=loss)

    @property
    def source(self) -> str:
        return self.problem.source

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        yield [self.problem.x.reshape(self.rows, -1)[start:stop]], self.problem.y[start:stop]

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Return views of rows `start` to `stop`, without a copy."""
        x, y = self.problem.x[start:stop], self.problem.y[start:stop]
        return Problem(x, y, self.source, known_finite=True, loss=self.loss)
