"""Test when PyTorch and JAX use the Triton kernel, and the line that explains why not."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from backends import catalogue, generate
from backends.losses import LOG_LOSS, SQUARED_ERROR, Loss
from backends.names import Name

MISSING = "jax-triton is not installed: pip install jax-triton"

BRANCHES = Loss("own-01234567", lambda xp, p, y: p, lambda xp, p, y: p if p > 0 else y)
"""A loss whose slope Triton cannot compile, because it branches on a value."""


@pytest.mark.parametrize(
    ("platform", "features", "reason", "chosen"),
    [
        ("gpu", 3, "", "one pass"),
        ("gpu", 2, "", "plain"),
        ("gpu", 8193, "", "plain"),
        ("gpu", 3, MISSING, "plain"),
        ("cpu", 3, "", "plain"),
    ],
)
def test_jax_uses_the_kernel_where_xla_reads_twice(
    platform: str, features: int, reason: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    from backends.jax import onepass

    device = {"cuda:0": SimpleNamespace(platform=platform)}
    monkeypatch.setattr(onepass, "named_devices", lambda: device)
    monkeypatch.setattr(onepass, "reason_against_one_pass", lambda loss: reason)
    monkeypatch.setattr(onepass, "OnePass", lambda *_: "one pass")
    monkeypatch.setattr(onepass, "Loop", lambda *_: "plain")
    assert onepass.loop(generate(2, features), 0.1, "cuda:0") == chosen


@pytest.mark.parametrize(
    ("device", "loss", "installed", "chosen"),
    [
        ("cuda:0", SQUARED_ERROR, True, "one pass"),
        ("cuda:0", LOG_LOSS, True, "one pass"),
        ("cuda:0", SQUARED_ERROR, False, "chunks"),
        ("cuda:0", LOG_LOSS, False, "chunks"),
        ("cuda:0", BRANCHES, True, "chunks"),
        ("cpu", LOG_LOSS, True, "chunks"),
    ],
)
def test_torch_uses_the_kernel_for_every_slope_that_triton_can_compute(
    device: str, loss: Loss, installed: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from backends import onepass
    from backends.torch import analytic

    onepass.reason_against.cache_clear()
    monkeypatch.setattr(onepass, "find_spec", lambda module: installed or None)
    kernel = SimpleNamespace(OnePass=lambda *_: "one pass")
    monkeypatch.setitem(sys.modules, "backends.torch.onepass", kernel)  # type: ignore[arg-type]
    monkeypatch.setattr(analytic, "Analytic", lambda *_: "chunks")
    problem: Any = SimpleNamespace(features=3, loss=loss)
    assert analytic.by_hand(problem, 0.1, device) == chosen
    onepass.reason_against.cache_clear()


def test_the_plain_path_of_a_gpu_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    from backends.jax import triton

    monkeypatch.setattr(triton, "reason_against_one_pass", lambda loss: MISSING)
    twice = f"reads X twice for 3 features and more: {MISSING}"
    assert catalogue.note(Name("jax", "loop", "cuda:0")) == twice
    assert (
        catalogue.note(Name("jax", "loop")) == catalogue.note(Name("jax", "", "cuda:0")) == ""
    )
    monkeypatch.setattr("backends.torch.devices.reason_against", lambda loss: "no slope")
    said = catalogue.note(Name("torch", "analytic", "cuda:0"), BRANCHES)
    assert said == "reads X twice, chunk by chunk: no slope"
    assert catalogue.note(Name("torch", "analytic")) == catalogue.note(Name("numpy")) == ""


def test_run_and_fit_say_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.commands import measuring
    from bench.fit import inputs

    monkeypatch.setattr(
        catalogue, "note", lambda name, loss: "is slow: why" * (not name.technique)
    )
    measuring.chosen(["numpy", "numpy:blocked"], (), SQUARED_ERROR, roofline=False)
    line = "descentbench: numpy is slow: why\n"
    assert capsys.readouterr().err == line
    monkeypatch.setattr(inputs, "note", catalogue.note)
    assert inputs.open_for(SQUARED_ERROR, "numpy").name == "numpy"
    assert capsys.readouterr().err == line


def test_jax_triton_that_does_not_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    from backends.jax import triton

    def fails() -> None:
        raise ImportError("no such symbol\nin a long trace")

    monkeypatch.setattr(triton, "reason_against", lambda loss, module: "")
    monkeypatch.setattr(triton, "triton_call", fails)
    triton.reason_against_one_pass.cache_clear()
    assert (
        triton.reason_against_one_pass(LOG_LOSS) == "jax-triton does not start: no such symbol"
    )
    triton.reason_against_one_pass.cache_clear()


def older(*arguments: Any, out_shape: Any) -> Any:
    """Replacement for ``triton_call`` of jax-triton 0.3; returns the shape of the result."""
    return out_shape


def newer(*arguments: Any, out_type: Any, backend_options: Any = None) -> Any:
    """Replacement for ``triton_call`` of jax-triton 0.4; checks the compiler option."""
    assert backend_options == {"enable_fp_fusion": True}
    return out_type


@pytest.mark.parametrize("folder", [None, "kept"])
@pytest.mark.parametrize("version", [older, newer])
def test_jax_triton_keeps_the_cache_folder_of_triton(
    folder: str | None, version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the environment variable for Triton's cache folder keeps its value.

    Importing jax-triton 0.3 sets the variable to "", and version 0.4 removes it.
    """
    pytest.importorskip("jax")
    from backends.jax import triton

    class JaxTriton:
        @property
        def triton_call(self) -> Any:
            os.environ["TRITON_CACHE_DIR"] = ""
            return version

    if folder:
        monkeypatch.setenv("TRITON_CACHE_DIR", folder)
    else:
        monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "jax_triton", JaxTriton())  # type: ignore[arg-type]
    triton.triton_call.cache_clear()
    assert triton.triton_call()(1, out_type="a type") == "a type"
    assert os.environ.get("TRITON_CACHE_DIR") == folder
    triton.triton_call.cache_clear()
