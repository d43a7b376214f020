"""Test that docstrings have working examples, and that all public functions have docstrings."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest

import descentbench

MODULES = ("descentbench", "descentbench.fitting", "descentbench.sklearn")
"""Modules whose docstrings have examples."""


ONE_PARAMETER = ("open_backend", "read_model")
"""Functions that need no "Parameters" section for their single parameter."""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    if name.endswith("sklearn"):
        pytest.importorskip("sklearn")
    failed, tried = doctest.testmod(import_module(name))
    assert tried
    assert not failed


@pytest.mark.parametrize(
    "name", [n for n in descentbench.__all__ if inspect.isfunction(getattr(descentbench, n))]
)
def test_every_parameter_and_error_is_documented(name: str) -> None:
    function = getattr(descentbench, name)
    text = inspect.getdoc(function) or ""
    if function.__module__.startswith("descentbench."):
        assert "Returns" in text or text.startswith("Return ")
        assert "Raises" in text
    described = text.partition("Parameters\n")[2]
    lacking = [p for p in inspect.signature(function).parameters if p not in described]
    assert name in ONE_PARAMETER or not lacking
