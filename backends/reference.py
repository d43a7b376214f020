"""Reference results for squared error in float64, with which every backend is compared.

One pass over the rows gives the Gram matrix ``XᵀX/n``. Its eigenvalues and eigenvectors give
the minimum, the weights after k steps, and the largest stable learning rate. No step is taken.
The loss is summed over the rows, because a small loss would lose digits if it were computed
from the Gram matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

Block = tuple[NDArray[np.floating], NDArray[np.floating]]
"""k rows: X of shape (k,) or (k, d), and y of shape (k,)."""

_BLOCK_BYTES = 8 << 20
"""Memory limit in bytes for a block of rows in float64: 8 MiB. The limit includes the array
headers of the block (`_OVERHEAD_BYTES`)."""

_OVERHEAD_BYTES = 4096
"""Memory in bytes that is reserved for the array headers of a block of rows."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference results of a squared-error descent, computed from XᵀX and Xᵀy in float64.

    Attributes
    ----------
    gram : (d, d) float64
        ``XᵀX/n``.
    moment : (d,) float64
        ``Xᵀy/n``.
    blocks : callable
        Returns the rows in blocks. It is called again for each evaluation of the loss.
    rows : int
        Number of rows, n.
    """

    gram: Float64
    moment: Float64
    blocks: Callable[[], Iterable[Block]]
    rows: int

    @classmethod
    def of(cls, x: NDArray[np.floating], y: NDArray[np.floating]) -> Reference:
        """Return a `Reference` for `x` of shape (n,) or (n, d) and `y` of shape (n,)."""
        return cls.of_blocks(lambda: [(x, y)], len(y))

    @classmethod
    def of_blocks(cls, blocks: Callable[[], Iterable[Block]], rows: int) -> Reference:
        """Return a `Reference` for the rows in the blocks that ``blocks()`` returns.

        `rows` is the number of rows without padding. A block can end with padding, which is
        rows of zeros.
        """
        gram: Float64 | float = 0.0
        moment: Float64 | float = 0.0
        for x, y in _float64(blocks()):
            gram = gram + x.T @ x
            moment = moment + y @ x
        return cls(np.asarray(gram / rows), np.asarray(moment / rows), blocks, rows)

    @cached_property
    def _eigen(self) -> tuple[Float64, Float64]:
        values, vectors = np.linalg.eigh(self.gram)
        return np.maximum(values, 0.0), vectors  # eigenvalues below 0 are rounding errors

    @property
    def lipschitz(self) -> float:
        """Lipschitz constant L of the gradient of ``mean((X·w − y)²)``: ``2·λmax(XᵀX/n)``."""
        return 2.0 * float(self._eigen[0][-1])

    @property
    def largest_stable_rate(self) -> float:
        """2/L, the learning rate above which gradient descent on squared error diverges."""
        return 2.0 / self.lipschitz if self.lipschitz > 0 else np.inf

    @cached_property
    def solution(self) -> Float64:
        """w*, the minimiser of squared error that has the smallest norm."""
        values, vectors = self._eigen
        rank = values > values[-1] * len(values) * np.finfo(np.float64).eps
        along = (vectors.T @ self.moment)[rank] / values[rank]
        return np.asarray(vectors[:, rank] @ along)

    def iterate(self, steps: int, learning_rate: float, w0: ArrayLike) -> Float64:
        """Return w after `steps` steps from `w0`, in closed form.

        Let v be an eigenvector of ``XᵀX/n`` with eigenvalue λ. The weights have the component u
        along v, and ``Xᵀy/n`` has the component c. With the learning rate lr, a step replaces u
        by ``a·u + 2·lr·c``, where ``a = 1 − 2·lr·λ``. Therefore k steps give
        ``u_k = aᵏ·u₀ + c·(1 − aᵏ)/λ``. For λ = 0, the last term is replaced by its limit,
        ``2·lr·k·c``.
        """
        values, vectors = self._eigen
        shrink = 2.0 * learning_rate * values  # computing 1 − shrink would lose digits
        slow = shrink < 0.5
        with np.errstate(over="ignore", divide="ignore"):
            log = steps * np.log1p(-np.minimum(shrink, 0.5))
            power = np.where(slow, np.exp(log), (1.0 - shrink) ** steps)
            gone = np.where(slow, -np.expm1(log), 1.0 - power)
        limit = np.full_like(values, 2.0 * learning_rate * steps)
        pull = np.divide(gone, values, out=limit, where=values > 0)
        start = vectors.T @ np.asarray(w0, dtype=np.float64)
        return np.asarray(vectors @ (power * start + pull * (vectors.T @ self.moment)))

    def loss(self, w: ArrayLike) -> float:
        """Read all rows, and return ``mean((X·w − y)²)``."""
        w = np.asarray(w, dtype=np.float64)
        total = 0.0
        for x, y in _float64(self.blocks()):
            residual = x @ w - y
            total += float(residual @ residual)
        return total / self.rows

    def gradient(self, w: ArrayLike) -> Float64:
        """Return the gradient of ``mean((X·w − y)²)``, computed from XᵀX and Xᵀy."""
        w = np.asarray(w, dtype=np.float64)
        return np.asarray(2.0 * (self.gram @ w - self.moment))


def _float64(blocks: Iterable[Block]) -> Iterator[tuple[Float64, Float64]]:
    """Yield the rows in float64, at most `_BLOCK_BYTES` at a time; X has the shape (k, d)."""
    for x, y in blocks:
        d = 1 if x.ndim == 1 else x.shape[1]
        length = max(1, (_BLOCK_BYTES - _OVERHEAD_BYTES) // (8 * (d + 1)))
        for start in range(0, len(y), length):
            part = slice(start, start + length)
            yield x[part].reshape(-1, d).astype(np.float64), y[part].astype(np.float64)


def relative_error(w: ArrayLike, expected: ArrayLike) -> float:
    """Return ``‖w − expected‖ / ‖expected‖``, or ``‖w‖`` if `expected` is 0."""
    w, expected = np.asarray(w, dtype=np.float64), np.asarray(expected)
    if w.shape != expected.shape:
        return float("inf")
    distance = float(np.linalg.norm(w - expected))
    scale = float(np.linalg.norm(expected))
    return distance / scale if scale > 0 else distance
