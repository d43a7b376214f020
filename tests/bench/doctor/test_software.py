"""Test findings about environment variables and missing optional packages."""

from __future__ import annotations

import pytest

from bench.doctor.software import compiler, extras, overrides


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


@pytest.mark.parametrize(
    ("installed", "needs"),
    [
        (("gcc", "g++"), ()),
        (("gcc",), ("torch:compile",)),
        (("g++",), ("run --limit",)),
        ((), ("run --limit", "torch:compile")),
    ],
)
def test_only_what_needs_the_missing_compiler_is_named(
    installed: tuple[str, ...], needs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: with gcc alone, `run --limit` was said to miss a C++ compiler."""
    monkeypatch.setattr("shutil.which", lambda name: name if name in installed else None)
    found = compiler()
    assert (found.level == "note") is bool(needs)
    for use in ("run --limit", "torch:compile"):
        assert (use in found.found) is (use in needs)
