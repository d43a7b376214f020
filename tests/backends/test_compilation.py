"""Test that other steps, learning rates or numbers of rows need no new compilation."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from backends import Problem, catalogue, generate, names, open_backend
from backends.losses import SQUARED_ERROR
from backends.names import Name
from tests.support.fresh import fresh

RATE = 0.001


NUMBA, JAX = (
    [str(Name(name, technique)) for technique in names.libraries()[name].techniques]
    for name in ("numba", "jax")
)


def descend(backend: str, problem: Problem, steps: int = 3, rate: float = RATE) -> np.ndarray:
    return open_backend(backend).place(problem, rate).run(np.ones(problem.features), steps)


@contextmanager
def compiles_nothing(library: str, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if code in this context compiles anything."""
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
    """Return the types for which each function of Numba's backends was compiled."""
    return {name: f.signatures for name, f in numba_functions().items()}


def numba_functions() -> dict[str, Any]:
    """Return the compiled functions of all modules of Numba's backends that are imported."""
    from numba.extending import is_jitted

    return {
        f"{module}.{name}": f
        for module, loaded in [*sys.modules.items()]
        if module.startswith("backends.numba")
        for name, f in vars(loaded).items()
        if is_jitted(f)
    }


@contextmanager
def jax_compilations(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what JAX compiles in this context, in all threads.

    `jax.log_compiles` works for the current thread only.
    """
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
    for rows in (100, 200_003):  # few and many rows may use different kernels
        descend(backend, generate(rows, features))
    with compiles_nothing(library, caplog):
        for rows in (2, 3, 1009, 4096, 4097, 300_007):
            descend(backend, generate(rows, features))


@pytest.mark.parametrize("backend", ["jax", "jax:loop"])
def test_jax_compiles_for_a_new_shape(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check that a compilation does appear in the log; other tests check that none does."""
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
    """Check that other numbers of rows need no compilation, because all blocks are equal."""
    pytest.importorskip("jax")
    descend("jax:gram", generate(300_007, features))
    with compiles_nothing("jax", caplog):
        for rows in (300_008, 400_000, 524_288):
            descend("jax:gram", generate(rows, features))


def test_torch_compiles_for_another_dtype() -> None:
    """Check that PyTorch notices a compilation; other tests check that there is none."""
    torch = pytest.importorskip("torch")
    problem = generate(100, 1, "float32")
    descend("torch:compile", problem)
    forbidden = torch.compiler.set_stance("fail_on_recompile")
    with fresh("torch"), forbidden, pytest.raises(RuntimeError):
        descend("torch:compile", problem, 1)


def test_torch_compiles_any_number_of_kinds_in_a_process() -> None:
    """Check that each of 20 combinations of features and dtype has its own compiled function.

    Reason: PyTorch compiles at most eight versions of one function.
    """
    torch = pytest.importorskip("torch")
    if reason := catalogue.devices(names.libraries()["torch"], "compile")["cpu"]:
        pytest.skip(reason)
    from backends.torch.compiled import compiled_step

    codes = {
        vars(compiled_step(SQUARED_ERROR, features, dtype))[
            "_torchdynamo_orig_callable"
        ].__code__
        for features in range(1, 11)
        for dtype in (torch.float32, torch.float64)
    }
    assert len(codes) == 20


@pytest.mark.parametrize("features", [1, 3])
def test_numba_compiles_in_nopython_mode_only(features: int) -> None:
    pytest.importorskip("numba")
    for backend in NUMBA:
        descent = open_backend(backend).place(generate(100, features), RATE)
        w = descent.run(np.zeros(features), 2)
        descent.gradient(w)
        descent.loss(w)
    jitted = numba_functions().values()
    assert any(f.signatures for f in jitted)
    for function in jitted:
        assert function.nopython_signatures == [
            function.overloads[s].signature for s in function.signatures
        ]
