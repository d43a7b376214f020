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


def residual(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return ``x·w − y`` in the data's dtype; w is cast, so its gradient is float64."""
    w = w.to(x.dtype)
    return (x * w if x.ndim == 1 else x @ w) - y


class Autograd:
    """The tutorial's listing: forward, ``backward``, update without tracking, zero.

    On the CPU ``xᵀ·r`` of many features sums row after row in the data's
    dtype, which at 10⁶ float32 rows is wrong in the fifth digit. Such data go
    in chunks of rows; ``backward`` adds the gradients of the chunks up, in
    float64 since w is.
    """

    CHUNK_ROWS = 1 << 16

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = torch.device(device)
        self.x, self.y = self._place(problem.x), self._place(problem.y)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.learning_rate = learning_rate
        whole = self.x.ndim == 1 or self.device.type != "cpu"
        self.chunks = self._split(len(self.y) if whole else self.CHUNK_ROWS)

    def _place(self, values: Array) -> Tensor:
        with warnings.catch_warnings():
            # A read-only array is shared, not copied: nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _split(self, rows: int) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.x.split(rows), self.y.split(rows), strict=True))

    def _start(self, w: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(w), dtype=torch.float64, device=self.device)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w).requires_grad_()
        weights.grad = torch.zeros_like(weights)
        for _ in range(steps):
            for x, y in self.chunks:
                loss = residual(weights, x, y).square().sum() / len(self.y)
                loss.backward()
            with torch.no_grad():
                weights -= self.learning_rate * weights.grad
            weights.grad.zero_()
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        weights = self._start(w).requires_grad_()
        weights.grad = torch.zeros_like(weights)
        for x, y in self.chunks:
            residual(weights, x, y).square().sum().backward()
        return _to_host(weights.grad) / 2

    def loss(self, w: ArrayLike) -> float:
        weights = self._start(w)
        with torch.inference_mode():
            squares = [residual(weights, x, y).square().sum() for x, y in self.chunks]
            return float(torch.stack(squares).sum(dtype=torch.float64)) / len(self.y)


def _to_host(w: Tensor) -> Weights:
    """The copy to the host waits for the device."""
    return w.detach().cpu().numpy()


class Analytic(Autograd):
    """The gradient derived by hand, over chunks whose residual stays in cache."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        if self.device.type == "cpu":
            # One feature is element-wise work, which PyTorch shares among its
            # threads only when it is long; more is a product, which MKL shares.
            self.chunks = self._split(1 << 18 if self.x.ndim == 1 else 1 << 13)
        self.residual = torch.empty_like(self.chunks[0][1])

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode():
            for _ in range(steps):
                weights.sub_(self._sums(weights), alpha=scale)
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode():
            return _to_host(self._sums(self._start(w)))

    def _sums(self, w: Tensor) -> Tensor:
        cast = w.to(self.x.dtype)
        total = torch.zeros_like(w)
        for x, y in self.chunks:
            negative = self.residual[: len(y)]  # y − x·w
            if x.ndim == 1:
                torch.addcmul(y, x, cast, value=-1, out=negative)
                total -= torch.dot(negative, x)
            else:
                torch.addmv(y, x, cast, alpha=-1, out=negative)
                total -= torch.mv(x.T, negative)
        return total


def mean_squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The loss as element-wise work and sums, which a compiler can fuse and keep exact."""
    w = w.to(x.dtype)
    prediction = x * w if x.ndim == 1 else (x * w).sum(1)
    return (prediction - y).square().mean()


def autograd_step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
    """Return w after one step, the gradient by ``torch.func.grad``."""
    gradient: Tensor = torch.func.grad(mean_squared_error)(w, x, y)
    return w - learning_rate * gradient


class Gram(Autograd):
    """One pass for XᵀX and Xᵀy in float64, then steps that cost O(d²); least squares only."""

    CHUNK_ROWS = 1 << 13

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        d = problem.features
        sums = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=self.device)
        with torch.inference_mode():
            for x, y in self._split(self.CHUNK_ROWS if self.device.type == "cpu" else 1 << 20):
                both = torch.empty((len(y), d + 1), dtype=torch.float64, device=self.device)
                both[:, :-1], both[:, -1] = x.reshape(-1, d), y
                sums.addmm_(both.T, both)
        self.xtx, self.xty = sums[:-1, :-1].contiguous(), sums[:-1, -1].contiguous()
        self.yty = float(sums[-1, -1])
        del self.x, self.chunks  # the sums are all that a step needs

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode():
            offset = rate * self.xty
            for _ in range(steps):
                weights = torch.addmv(weights + offset, self.xtx, weights, alpha=-rate)
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        return _to_host(torch.addmv(self.xty, self.xtx, self._start(w), beta=-1))

    def loss(self, w: ArrayLike) -> float:
        weights = self._start(w)
        squares = weights @ self.xtx @ weights - 2 * self.xty @ weights + self.yty
        return float(squares) / len(self.y)


@cache
def compiled_step() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Compile `autograd_step`; not at import, since the compiler's own import is slow.

    Rows are a dynamic size and the learning rate is a tensor, so that another
    n or rate does not compile anew; only where PyTorch starts to use several
    threads, at some thousand rows, is there a second version.
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


def product_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The loss with a product: where nothing fuses, element-wise work needs n·d scratch."""
    return residual(w, x, y).square().mean()


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
        gradient = torch.func.grad(product_error)(self.weights, self.x, self.y)
        self.weights.sub_(self.rate * gradient)


TECHNIQUES: Mapping[str, Place] = {
    "": Autograd,
    "analytic": Analytic,
    "compile": Compiled,
    "graph": Graph,
    "gram": Gram,
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
