"""Each technique really uses its library: autograd derives, and a compiler compiles, once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from backends import Problem, catalogue, generate, names, open_backend
from backends.names import Name
from backends.problem import TOLERANCE
from backends.reference import relative_error
from tests.support.fresh import forget

RATE = 0.001

NUMBA, JAX = (
    [str(Name(name, technique)) for technique in names.libraries()[name].techniques]
    for name in ("numba", "jax")
)


def descend(backend: str, problem: Problem, steps: int = 3, rate: float = RATE) -> np.ndarray:
    return open_backend(backend).place(problem, rate).run(np.ones(problem.features), steps)


# autograd


def doubled(derive: Callable[..., Any]) -> Callable[..., Any]:
    """Derive twice the function instead."""
    return lambda function: derive(lambda *arguments: 2 * function(*arguments))


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("torch", 2),
        ("torch:compile", 2),
        ("torch:analytic", 1),
        ("jax", 2),
        ("jax:loop", 2),
        ("jax:blocked", 2),
    ],
)
@pytest.mark.parametrize("features", [1, 3])
def test_the_gradient_is_the_librarys(
    monkeypatch: pytest.MonkeyPatch, backend: str, expected: int, features: int
) -> None:
    """Where the library derives twice the loss, a step is twice as long; by hand it is not."""
    library = backend.partition(":")[0]
    pytest.importorskip(library)
    if library == "torch":
        import torch

        backward = torch.Tensor.backward
        monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward(2 * loss))
        monkeypatch.setattr(torch.func, "grad", doubled(torch.func.grad))
    else:
        import jax

        monkeypatch.setattr(jax, "grad", doubled(jax.grad))
    problem, w0 = generate(100, features, "float64"), np.ones(features)
    forget(monkeypatch, library)
    descent = open_backend(backend).place(problem, RATE)
    reference = problem.reference.iterate(5, expected * RATE, w0)
    assert relative_error(descent.run(w0, 5), reference) <= TOLERANCE["float64"]


def test_torch_calls_backward_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    backward, calls = torch.Tensor.backward, []

    def spy(loss: Any) -> None:
        calls.append(loss)
        backward(loss)

    monkeypatch.setattr(torch.Tensor, "backward", spy)
    descend("torch", generate(100), steps=7)
    assert len(calls) == 7


def test_torchs_shares_take_one_thread_each_and_leave_the_others_as_they_were() -> None:
    """A thread takes over the common number of threads at its first call, not at its start."""
    torch = pytest.importorskip("torch")
    from backends.torch import single_threaded

    before = torch.get_num_threads()
    pool = single_threaded(2)

    def threads_within(_: int) -> int:
        (torch.ones(1 << 20) + 1).sum()
        return int(torch.get_num_threads())

    assert list(pool.map(threads_within, range(8))) == [1] * 8
    assert torch.get_num_threads() == before


def test_torchs_shares_come_to_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten chunks for two threads, by column, by row, and copied; the last one is short."""
    pytest.importorskip("torch")
    from backends.torch import Analytic

    for features, copied in ((3, False), (20, False), (20, True)):
        problem = generate(9999, features)
        monkeypatch.setattr(Analytic, "CHUNK_BYTES", 1000 * features * 4)
        if copied:
            monkeypatch.setattr(Analytic, "LONG_BYTES", 0)
            monkeypatch.setattr(Analytic, "FAR_BYTES", 0)
        descent = Analytic(problem, RATE, "cpu")
        assert bool(descent.copies) == copied
        assert sum(len(chunks) for chunks in descent.shares) == 10
        w0 = np.linspace(-1, 1, features)
        np.testing.assert_allclose(
            descent.gradient(w0), problem.reference.gradient(w0) * 9999 / 2, rtol=1e-4
        )


# numpy's blocks


@pytest.mark.parametrize("features", [1, 2, 16, 17])
def test_numpys_blocks_stay_in_cache_and_hold_every_row_once(features: int) -> None:
    from backends.numpy import Blocked

    problem = generate(300_007, features)
    descent = Blocked(problem, RATE, "cpu")
    blocks = [block for share, _ in descent.shares for block in share]
    rows = np.concatenate([np.arange(problem.rows)[block] for block in blocks])
    np.testing.assert_array_equal(np.sort(rows), np.arange(problem.rows))
    largest = max(problem.x[block].nbytes for block in blocks)
    assert (1 << 20) - 4 * features < largest <= 1 << 20
    assert descent.by_column is (2 <= features <= 16)


def test_numpys_blocks_of_little_data_are_one_threads() -> None:
    """Below 8 MB a step, x and y, the others would take longer to wake up."""
    from backends.numpy import Blocked, most_threads

    for rows, threads in (((1 << 20) - 1, 1), (1 << 20, most_threads())):
        assert len(Blocked(generate(rows), RATE, "cpu").shares) == threads


def test_numpys_blas_has_one_thread_while_the_blocks_have_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from backends import numpy as module

    seen: list[int] = []

    def spied(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (seen.append(module.most_threads()), of(*arguments))[1]

    before, problem = module.most_threads(), generate(600_007, 3)
    monkeypatch.setattr(module.Blocked, "_sums", spied(module.Blocked._sums))
    module.Blocked(problem, RATE, "cpu").run(np.zeros(3), 2)
    assert len(seen) == 2 * before
    monkeypatch.setattr(module, "gram_of", spied(module.gram_of))
    module.Gram(problem, RATE, "cpu")
    assert len(seen) > 2 * before
    assert {*seen} == {1}
    assert module.most_threads() == before


def test_numpys_gram_converts_blocks_of_a_mebibyte_or_less_than_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one feature and many rows only what is left of the last piece is converted."""
    from backends import numpy as module

    gram_of, converted = module.gram_of, list[int]()

    def spy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        converted.append(8 * x.size)
        return gram_of(x, y)

    monkeypatch.setattr(module, "gram_of", spy)
    module.Gram(generate(300_007, 3), RATE, "cpu")
    assert (1 << 20) - 3 * 8 < max(converted) <= 1 << 20
    converted.clear()
    line = generate(1000)
    module.line_gram_of(line.x, line.y)
    assert converted == [8 * (1000 % 256)]
    for rows, all_of_it in ((1 << 18) - 1, True), (1 << 18, False):
        converted.clear()
        module.Gram(generate(rows), RATE, "cpu")
        assert (sum(converted) == 8 * rows) is all_of_it


# gram


def whole_numbers(rows: int, features: int) -> Problem:
    """Return data of which every product and sum is exact, in float32, too."""
    rng = np.random.default_rng(rows)
    x = rng.integers(-3, 4, (rows, features)).astype(np.float32)
    return Problem(
        x[:, 0] if features == 1 else x, rng.integers(-9, 10, rows).astype("float32")
    )


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("features", [1, 3, 20])
@pytest.mark.parametrize("rows", [70, 1000, 100_003, (1 << 18) + 1, (1 << 20) + 257])
def test_a_gram_takes_every_row_once(library: str, features: int, rows: int) -> None:
    """Several threads, and rows that neither pieces nor blocks divide."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = whole_numbers(rows, features if rows < 1 << 20 else 1)
    x, y = problem.x.reshape(rows, -1).astype(np.float64), problem.y.astype(np.float64)
    descent: Any = open_backend(f"{library}:gram").place(problem, RATE)
    np.testing.assert_array_equal(np.asarray(descent.xtx), x.T @ x)
    np.testing.assert_array_equal(np.asarray(descent.xty), x.T @ y)
    assert float(descent.yty) == y @ y


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
def test_a_gram_errs_less_than_a_loop_of_a_million_rows(library: str) -> None:
    """Loops are off by 1e-8 here."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = generate(1_000_000)
    w = open_backend(f"{library}:gram").place(problem, RATE).run(np.zeros(1), 1000)
    assert relative_error(w, problem.reference.iterate(1000, RATE, np.zeros(1))) <= 5e-9


# compilers


@contextmanager
def compiles_nothing(library: str, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if anything is compiled inside."""
    if library == "numba":
        before = numba_signatures()
        yield
        assert numba_signatures() == before
    elif library == "torch":
        import torch

        with torch.compiler.set_stance("fail_on_recompile"):
            yield
    else:
        with jax_compilations(caplog) as compiled:
            yield
        assert compiled == []


def numba_signatures() -> dict[str, list[Any]]:
    """Return what every jitted function of the file has been compiled for."""
    from numba.extending import is_jitted

    from backends import numba

    return {name: f.signatures for name, f in vars(numba).items() if is_jitted(f)}


@contextmanager
def jax_compilations(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect JAX's log of what it compiles, in any thread: `jax.log_compiles` is of one."""
    import jax

    compiled: list[str] = []
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level(logging.WARNING, "jax"):
            caplog.clear()
            yield compiled
    finally:
        jax.config.update("jax_log_compiles", False)
    compiled += [text for text in caplog.messages if text.startswith("Compiling")]


@pytest.mark.parametrize("backend", [*NUMBA, "torch:compile", *JAX])
@pytest.mark.parametrize("features", [1, 3])
def test_other_steps_and_another_rate_compile_nothing(
    backend: str, features: int, caplog: pytest.LogCaptureFixture
) -> None:
    library = backend.partition(":")[0]
    pytest.importorskip(library)
    problem = generate(119, features)
    descend(backend, problem, 10)
    with compiles_nothing(library, caplog):
        descend(backend, problem, 1000)
        descend(backend, problem, 1, 0.002)


@pytest.mark.parametrize("backend", [*NUMBA, "torch:compile"])
@pytest.mark.parametrize("features", [1, 3])
def test_another_number_of_rows_compiles_nothing(
    backend: str, features: int, caplog: pytest.LogCaptureFixture
) -> None:
    library = backend.partition(":")[0]
    pytest.importorskip(library)
    for rows in (100, 200_003):  # few rows may be summed by another kernel than many
        descend(backend, generate(rows, features))
    with compiles_nothing(library, caplog):
        for rows in (2, 3, 1009, 4096, 4097, 300_007):
            descend(backend, generate(rows, features))


@pytest.mark.parametrize("backend", ["jax", "jax:loop"])
def test_jax_compiles_for_a_new_shape(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log that shows no compilation elsewhere shows one here."""
    pytest.importorskip("jax")
    with jax_compilations(caplog) as compiled:
        descend(backend, generate(len(backend) + 200))
    assert compiled


def test_what_jax_compiles_in_another_thread_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("jax")
    with jax_compilations(caplog) as compiled, ThreadPoolExecutor(1) as pool:
        pool.submit(descend, "jax", generate(217)).result()
    assert compiled


@pytest.mark.parametrize("features", [1, 3, 20])
def test_jaxs_gram_compiles_for_many_rows_once(
    features: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its blocks have one shape, whatever is left for the last of them."""
    pytest.importorskip("jax")
    descend("jax:gram", generate(300_007, features))
    with compiles_nothing("jax", caplog):
        for rows in (300_008, 400_000, 524_288):
            descend("jax:gram", generate(rows, features))


def test_torch_compiles_for_another_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stance that forbids to compile elsewhere forbids it here."""
    torch = pytest.importorskip("torch")
    problem = generate(100, 1, "float32")
    descend("torch:compile", problem)
    forget(monkeypatch, "torch")
    with torch.compiler.set_stance("fail_on_recompile"), pytest.raises(RuntimeError):
        descend("torch:compile", problem, 1)


@pytest.mark.parametrize("features", [1, 3])
def test_numba_compiles_in_nopython_mode_only(features: int) -> None:
    pytest.importorskip("numba")
    from numba.extending import is_jitted

    from backends import numba

    for backend in NUMBA:
        descent = open_backend(backend).place(generate(100, features), RATE)
        w = descent.run(np.zeros(features), 2)
        descent.gradient(w)
        descent.loss(w)
    jitted = [f for f in vars(numba).values() if is_jitted(f)]
    assert any(f.signatures for f in jitted)
    for function in jitted:
        assert function.nopython_signatures == [
            function.overloads[s].signature for s in function.signatures
        ]


# devices and precision


def python(code: str) -> list[str]:
    """Run code in a fresh process and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_opening_jax_is_what_switches_float64_on() -> None:
    pytest.importorskip("jax")
    code = (
        "import jax, backends, bench; before = jax.config.jax_enable_x64; "
        "backends.open_backend('jax'); print(before, jax.config.jax_enable_x64)"
    )
    assert python(code) == ["False", "True"]


DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from backends import catalogue, generate, open_backend
from backends.reference import relative_error

print(*(entry.name.device for entry in catalogue.entries(["jax"]) if not entry.name.technique))
problem = generate(1009, 3, "float64")
expected = problem.reference.iterate(10, 0.001, np.zeros(3))
for technique in ("jax", "jax:loop"):
    results = []
    for number, device in enumerate(("cpu", "cpu:1")):
        descent = open_backend(f"{technique}@{device}").place(problem, 0.001)
        results.append(descent.run(np.zeros(3), 10))
        results.append(descent.run(descent.run(np.zeros(3), 4), 6))
        assert relative_error(results[-1], expected) <= 1e-12
        assert abs(descent.loss(expected) / problem.reference.loss(expected) - 1) <= 1e-12
        held = [array for array in jax.live_arrays() if array.nbytes >= problem.y.nbytes]
        assert held
        assert {d for array in held for d in array.devices()} == {jax.devices()[number]}
        del descent, held
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-13)
"""


def test_two_jax_devices_agree_and_each_holds_its_own_data() -> None:
    pytest.importorskip("jax")
    assert python(DEVICES) == ["cpu", "cpu:1"]


@pytest.mark.parametrize("features", [1, 3])
def test_what_a_cuda_graph_records_is_a_step(features: int) -> None:
    """Recording needs CUDA; what is recorded does not."""
    pytest.importorskip("torch")
    if reason := catalogue.devices(names.libraries()["torch"], "compile")["cpu"]:
        pytest.skip(reason)
    from backends.torch import Graph

    data = generate(200, features, np.float32)
    descent: Any = Graph(data, 0.001, "cpu")
    for _ in range(7):
        descent._step()
    expected = data.reference.iterate(7, 0.001, np.zeros(features))
    assert relative_error(descent.weights.numpy(), expected) <= 1e-5
