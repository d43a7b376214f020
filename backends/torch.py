"""PyTorch: autograd's ``backward``, and what its compiler makes of it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.interface import Place, Weights
from backends.problem import Array, Problem


def mean_squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The loss, in the data's dtype; w is cast, so its gradient is float64."""
    w = w.to(x.dtype)
    residual = (x * w if x.ndim == 1 else x @ w) - y
    return residual.square().mean()


class Autograd:
    """The tutorial's listing: forward, ``backward``, update without tracking, zero."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = torch.device(device)
        self.x, self.y = self._place(problem.x), self._place(problem.y)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.learning_rate = learning_rate

    def _place(self, values: Array) -> Tensor:
        with warnings.catch_warnings():
            # A read-only array is shared, not copied: nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _start(self, w: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(w), dtype=torch.float64, device=self.device)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w).requires_grad_()
        weights.grad = torch.zeros_like(weights)
        for _ in range(steps):
            loss = mean_squared_error(weights, self.x, self.y)
            loss.backward()
            with torch.no_grad():
                weights -= self.learning_rate * weights.grad
            weights.grad.zero_()
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        weights = self._start(w).requires_grad_()
        loss = mean_squared_error(weights, self.x, self.y)
        (gradient,) = torch.autograd.grad(loss, weights)
        return len(self.y) / 2 * _to_host(gradient)

    def loss(self, w: ArrayLike) -> float:
        with torch.no_grad():
            return float(mean_squared_error(self._start(w), self.x, self.y))


def _to_host(w: Tensor) -> Weights:
    """The copy to the host waits for the device."""
    return w.detach().cpu().numpy()


def step_by_hand(w: Tensor, x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Return w − scale·xᵀ(x·w − y), without autograd."""
    cast = w.to(x.dtype)
    residual = (x * cast if x.ndim == 1 else torch.mv(x, cast)).sub_(y)
    if x.ndim == 1:
        return w - scale * residual.mul_(x).sum(dtype=torch.float64)
    return w - scale * torch.mv(x.T, residual)


class Analytic(Autograd):
    """The gradient derived by hand, in place where it can be."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode():
            for _ in range(steps):
                weights = step_by_hand(weights, self.x, self.y, scale)
        return _to_host(weights)


def autograd_step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
    """Return w after one step, the gradient by ``torch.func.grad``."""
    gradient: Tensor = torch.func.grad(mean_squared_error)(w, x, y)
    return w - learning_rate * gradient


@cache
def compiled_step() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Compile `autograd_step`; not at import, since the compiler's own import is slow.

    Rows are a dynamic size, so another n does not compile anew, and the
    learning rate is a tensor, so another rate does not either.
    """
    return torch.compile(autograd_step, dynamic=True, fullgraph=True)


class Compiled(Autograd):
    """Autograd's step under ``torch.compile``: forward and backward in one kernel."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = torch.tensor(self.learning_rate, dtype=torch.float64, device=self.device)
        step = compiled_step()
        for _ in range(steps):
            weights = step(weights, self.x, self.y, rate)
        return _to_host(weights)


class Graph(Autograd):
    """Autograd's step recorded once as a CUDA graph, then replayed.

    A replay is one launch from Python for the whole step. Warm-up runs on a
    side stream, as https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    asks, so that nothing of the recording touches the default stream.
    """

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.weights = torch.zeros(problem.features, dtype=torch.float64, device=device)
        self.rate = torch.tensor(learning_rate, dtype=torch.float64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, w: ArrayLike, steps: int) -> Weights:
        with torch.cuda.device(self.device):
            if self.graph is None:
                self.graph = self._record()
            self.weights.copy_(self._start(w))
            for _ in range(steps):
                self.graph.replay()
            return _to_host(self.weights).copy()

    def _record(self) -> torch.cuda.CUDAGraph:
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph

    def _step(self) -> None:
        self.weights.copy_(autograd_step(self.weights, self.x, self.y, self.rate))


TECHNIQUES: Mapping[str, Place] = {
    "": Autograd,
    "analytic": Analytic,
    "compile": Compiled,
    "graph": Graph,
}


def devices(technique: str) -> Mapping[str, str]:
    """The CPU and every CUDA device; a technique may exclude some."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if technique == "graph":
        return dict.fromkeys(cuda, "") or {"cuda:0": "no CUDA device"}
    found = dict.fromkeys(["cpu", *cuda], "")
    if technique == "compile" and not (shutil.which("g++") or shutil.which("clang++")):
        found["cpu"] = "torch.compile needs a C++ compiler: apt-get install g++"
    return found


def peak_device_bytes(device: str) -> int | None:
    """From PyTorch's allocator; None for the host."""
    if torch.device(device).type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device)
