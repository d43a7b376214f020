"""Test findings about environment variables and missing optional packages."""

from __future__ import annotations

import pytest

from bench.doctor.software import extras, overrides


def test_a_variable_that_changes_a_library_is_named() -> None:
    (found,) = overrides({"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"})
    assert (found.found, found.level) == ("OPENBLAS_CORETYPE=Haswell", "note")
    assert "unset OPENBLAS_CORETYPE" in found.mend


def test_a_missing_package_has_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed bug: scikit-learn was not listed, because its import name is sklearn."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    commands = [found.mend for found in extras()]
    packages = ("pyarrow", "matplotlib", "jinja2", "scikit-learn")
    assert commands == [f"pip install {package}" for package in packages]
