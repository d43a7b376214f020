"""Descend with a compiled step that is recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.problem import Array, Problem
from backends.torch.autograd import Autograd, to_host
from backends.torch.compiled import compiled_step


class Recorded:
    """Steps that are recorded once as CUDA graphs, so that one call starts many steps.

    Parameters
    ----------
    step : callable
        ``step()`` takes one step. The function changes w in place and uses only tensors on the
        device.
    device : torch.device

    Notes
    -----
    Three warm-up steps run on a separate stream, as PyTorch requires before a recording:
    https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    MANY = 32
    """Number of steps in the longer of the two graphs; the other graph has one step."""

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(side)
            self.one, self.many = self._record(step, 1), self._record(step, self.MANY)

    @staticmethod
    def _record(step: Callable[[], None], times: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Threads of another library may call the driver during the recording.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(times):
                step()
        return graph

    def replay(self, steps: int) -> None:
        """Start `steps` recorded steps on the GPU, without waiting until they are finished."""
        many, single = divmod(steps, self.MANY)
        with torch.cuda.device(self.device):
            for _ in range(many):
                self.many.replay()
            for _ in range(single):
                self.one.replay()


class Graph(Autograd):
    """Descent with a compiled step that is recorded as a CUDA graph.

    X is stored by column if it has at most `MOST_COLUMNS` features.
    """

    MOST_COLUMNS = 16
    """Largest number of features for which X is stored by column."""

    PART_ROWS = 1 << 22
    """Number of rows that are copied to the GPU at a time, and are then stored by column. With
    small parts, little additional memory is needed."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.weights = torch.zeros(problem.features, dtype=torch.float64, device=device)
        self.rate = torch.tensor(learning_rate, dtype=torch.float64, device=device)
        self.recorded: Recorded | None = None

    def _place(self, values: Array) -> Tensor:
        if values.ndim == 1 or values.shape[1] > self.MOST_COLUMNS:
            return super()._place(values)
        rows, features = values.shape
        dtype = getattr(torch, values.dtype.name)
        columns = torch.empty((features, -(-rows // 16) * 16), dtype=dtype, device=self.device)
        for start in range(0, rows, self.PART_ROWS):
            part = super()._place(values[start : start + self.PART_ROWS])
            columns[:, start : start + len(part)] = part.T
        return columns[:, :rows].T

    def run(self, w: ArrayLike, steps: int) -> Weights:
        self.recorded = self.recorded or Recorded(self._step, self.device)
        self.weights.copy_(self._start(w))
        self.recorded.replay(steps)
        return to_host(self.weights).copy()

    def _step(self) -> None:
        step = compiled_step(self.row_loss, len(self.weights), self.x.dtype)
        self.weights.copy_(step(self.weights, self.x, self.y, self.rate))
