"""The compiled step, recorded as a CUDA graph."""

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
    """Steps recorded once as CUDA graphs and then replayed: one call starts many steps.

    Parameters
    ----------
    step : callable
        ``step()`` takes a step in place and works on the device only.
    device : torch.device

    Notes
    -----
    The warm-up runs on a side stream, so that no part of the recording uses the default
    stream: see https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    MANY = 32
    """Number of steps in the graph of many steps; the other graph has one step."""

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
        """Start `steps` steps; the device may still be busy on return."""
        many, single = divmod(steps, self.MANY)
        with torch.cuda.device(self.device):
            for _ in range(many):
                self.many.replay()
            for _ in range(single):
                self.one.replay()


class Graph(Autograd):
    """The compiled autograd step, recorded as a CUDA graph.

    Data with at most `MOST_COLUMNS` features are stored by column, so that each load is wide.
    """

    MOST_COLUMNS = 16
    """Largest number of features that are stored by column."""

    PART_ROWS = 1 << 22
    """Number of rows copied to the device at a time: only these rows need memory twice, by row
    and by column."""

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
