"""PyTorch: autograd's ``backward``, and what its compiler makes of it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial, reduce
from importlib.util import find_spec
from threading import Barrier

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.problem import Array, Problem
from backends.threads import in_threads, torch_alone

FEW_COLUMNS = 8
"""Most features whose products are summed column by column in `gram_of`."""


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


@cache
def single_threaded(threads: int) -> ThreadPoolExecutor:
    """Return a pool of so many threads within which PyTorch takes no further ones.

    ``set_num_threads`` holds for the thread that calls it and for all that
    start later, so the number is put back once the pool's have started.
    """
    before, all_started = torch.get_num_threads(), Barrier(threads + 1)

    def hold() -> None:
        torch.get_num_threads()  # a thread's first call takes over the common number
        torch.set_num_threads(1)
        all_started.wait()

    pool = ThreadPoolExecutor(threads, initializer=hold)
    for _ in range(threads):
        pool.submit(int)
    all_started.wait()
    torch.set_num_threads(before)
    return pool


Chunks = list[tuple[Tensor, Tensor]]


def in_shares(chunks: Chunks) -> list[Chunks]:
    """Deal the chunks out to as many threads as PyTorch may use."""
    threads = min(torch.get_num_threads(), len(chunks))
    return [chunks[i::threads] for i in range(threads)]


class Analytic(Autograd):
    """The gradient derived by hand, over chunks that stay in cache.

    On the CPU one feature is element-wise work, which PyTorch shares among its
    threads where it is long. Several are products along a short axis, which it
    does not: there each thread takes a share of the chunks. Few features are
    laid out by column, because a product along short rows is all overhead. Long
    rows from memory are copied to the cache before they are multiplied: MKL's product
    reads several of them side by side, which the hardware does not follow.
    """

    LINE_ROWS = 1 << 18
    CHUNK_BYTES = 1 << 21
    MOST_COLUMNS = 16
    LONG_BYTES, FAR_BYTES = 512, 1 << 25

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.shares, copied = [self.chunks], False
        if self.device.type == "cpu" and self.x.ndim == 1:
            self.shares = [self._split(self.LINE_ROWS)]
        elif self.device.type == "cpu":
            a_row = problem.features * self.x.itemsize
            copied = a_row >= self.LONG_BYTES and problem.bytes_per_step >= self.FAR_BYTES
            chunks = self._split(max(64, self.CHUNK_BYTES // a_row))
            if problem.features <= self.MOST_COLUMNS:
                chunks = [(x.T.contiguous().T, y) for x, y in chunks]
            self.shares = in_shares(chunks)
        self.residuals = [torch.empty_like(chunks[0][1]) for chunks in self.shares]
        self.copies = [torch.empty_like(chunks[0][0]) for chunks in self.shares if copied]

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode(), self._threads():
            for _ in range(steps):
                weights.sub_(self._sums(weights), alpha=scale)
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode(), self._threads():
            return _to_host(self._sums(self._start(w)))

    def _threads(self) -> AbstractContextManager[None]:
        """Leave threads to PyTorch where it shares the work, and else take it from it."""
        ours = self.device.type == "cpu" and self.x.ndim > 1
        return torch_alone() if ours else nullcontext()

    def _sums(self, w: Tensor) -> Tensor:
        cast = w.to(self.x.dtype)
        if len(self.shares) == 1:
            return self._sums_of(cast, 0)
        sums_of = torch.inference_mode()(partial(self._sums_of, cast))  # a thread's own mode
        return reduce(torch.add, in_threads(sums_of, range(len(self.shares)), single_threaded))

    def _sums_of(self, w: Tensor, share: int) -> Tensor:
        """Return ``xᵀ(x·w − y)`` over a share of the chunks, float64."""
        total = torch.zeros(len(w), dtype=torch.float64, device=self.device)
        for x, y in self.shares[share]:
            negative = self.residuals[share][: len(y)]  # y − x·w
            if self.copies:
                x = self.copies[share][: len(y)].copy_(x)
            if x.ndim == 1:
                torch.addcmul(y, x, w, value=-1, out=negative)
                total -= torch.dot(negative, x)
            else:
                torch.addmv(y, x, w, alpha=-1, out=negative)
                total -= torch.mv(x.T, negative)
        return total


def mean_squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The loss as a compiler takes it best.

    Element-wise work and sums it can fuse and keep exact; on a GPU, though, its code for
    several features is 5 to 40 times slower than the library's products.
    """
    if x.is_cuda and x.ndim > 1:
        return residual(w, x, y).square().mean()
    w = w.to(x.dtype)
    prediction = x * w if x.ndim == 1 else (x * w).sum(1)
    return (prediction - y).square().mean()


def autograd_step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
    """Return w after one step, the gradient by ``torch.func.grad``."""
    gradient: Tensor = torch.func.grad(mean_squared_error)(w, x, y)
    return w - learning_rate * gradient


def gram_of(x: Tensor, y: Tensor, scratch: Tensor) -> Tensor:
    """Return the Gram matrix of x, (n, d), with y as one more column, in scratch's dtype.

    `scratch` holds n·(d + 1) values. A few columns are multiplied one by one: a
    product of matrices, made for large ones, is four times slower at d = 1.
    """
    n, d = x.shape
    products = scratch.new_empty((d + 1, d + 1))
    if d > FEW_COLUMNS:  # y on its own: rows of an odd length are slower
        rows, targets = scratch[: n * d].view(n, d), scratch[n * d :]
        rows[:], targets[:] = x, y
        products[:-1, :-1] = rows.T @ rows
        products[-1, :-1] = products[:-1, -1] = targets @ rows
        products[-1, -1] = targets @ targets
        return products
    columns = scratch.view(d + 1, n)
    columns[:-1], columns[-1] = x.T, y
    for j in range(d + 1):
        products[j, : j + 1] = products[: j + 1, j] = columns[: j + 1] @ columns[j]
    return products


class Gram(Autograd):
    """One pass for XᵀX and Xᵀy in float64, then steps that cost O(d²); least squares only."""

    LINE_BYTES = 1 << 22
    CHUNK_BYTES = 1 << 20

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        if self.device.type == "cpu":
            few = problem.features <= FEW_COLUMNS
            limit = self.LINE_BYTES if few else self.CHUNK_BYTES
            shares = in_shares(self._split(max(64, limit // (8 * (problem.features + 1)))))
            parts = single_threaded(len(shares)).map(self._products, shares)
            sums = torch.stack(list(parts)).sum(0)
        else:
            sums = self._products(self._split(1 << 20))
        self.xtx, self.xty = sums[:-1, :-1].contiguous(), sums[:-1, -1].contiguous()
        self.yty = float(sums[-1, -1])
        del self.x, self.chunks  # the sums are all that a step needs

    @torch.inference_mode()
    def _products(self, chunks: Chunks) -> Tensor:
        """Return the Gram matrix of some chunks with y as one more column, float64."""
        d = 1 if self.x.ndim == 1 else self.x.shape[1]
        sums = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=self.device)
        buffer = sums.new_empty(len(chunks[0][1]) * (d + 1))
        for x, y in chunks:
            scratch = buffer[: len(y) * (d + 1)]
            sums += gram_of(x.reshape(len(y), d), y, scratch)
        return sums

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode():
            offset = rate * self.xty
            for _ in range(steps):
                weights = torch.addmv(weights + offset, self.xtx, weights, alpha=-rate)
        return _to_host(weights)

    def moments(self) -> tuple[Weights, Weights, float]:
        return _to_host(self.xtx), _to_host(self.xty), self.yty

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


class Recorded:
    """Steps recorded once as CUDA graphs, then replayed: one launch from Python for many.

    Parameters
    ----------
    step : callable
        Takes a step in place, by work on the device alone.
    device : torch.device

    Notes
    -----
    Warm-up runs on a side stream, as
    https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs asks, so that nothing of
    the recording touches the default stream.
    """

    MANY = 32

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
        # Another library's threads may call the driver meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(times):
                step()
        return graph

    def replay(self, steps: int) -> None:
        """Take so many steps; they may be under way still."""
        many, single = divmod(steps, self.MANY)
        with torch.cuda.device(self.device):
            for _ in range(many):
                self.many.replay()
            for _ in range(single):
                self.one.replay()


class Graph(Autograd):
    """The compiled autograd step, recorded as a CUDA graph.

    Few features are laid out by column, so that every load is wide.
    """

    MOST_COLUMNS = 16
    PART_ROWS = 1 << 22

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
        return _to_host(self.weights).copy()

    def _step(self) -> None:
        self.weights.copy_(compiled_step()(self.weights, self.x, self.y, self.rate))


class OnePass(Graph):
    """The gradient derived by hand, X read once a step: see `backends.torch.onepass`."""

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode():
            return _to_host(self._sums(self._start(w)))

    def _step(self) -> None:
        with torch.inference_mode():
            scale = 2 * self.learning_rate / len(self.y)
            self.weights.sub_(self._sums(self.weights), alpha=scale)

    def _sums(self, w: Tensor) -> Tensor:
        from backends.torch.onepass import sums_of

        return sums_of(self.x, self.y, w).sum(0)


def by_hand(problem: Problem, learning_rate: float, device: str) -> Analytic | OnePass:
    """Place the data for the gradient derived by hand, as the device takes it best."""
    if torch.device(device).type == "cuda" and find_spec("triton"):
        from backends.torch.onepass import MOST_FEATURES

        if problem.features <= MOST_FEATURES:
            return OnePass(problem, learning_rate, device)
    return Analytic(problem, learning_rate, device)


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
