"""Environment variables that change a library."""

from __future__ import annotations

from bench.doctor.software import overrides


def test_a_variable_that_changes_a_library_is_named() -> None:
    (found,) = overrides({"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"})
    assert (found.found, found.level) == ("OPENBLAS_CORETYPE=Haswell", "note")
    assert "unset OPENBLAS_CORETYPE" in found.mend
