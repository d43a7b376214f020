"""Check the environment variables, the compiler and the optional packages."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping

from bench.doctor.finding import Finding
from bench.measure.native import COMPILERS

OVERRIDES = (
    *("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "NPY_DISABLE_CPU_FEATURES"),
    *("OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"),
    *("KMP_BLOCKTIME", "NUMBA_DISABLE_JIT", "NUMBA_OPT", "NUMBA_CPU_NAME"),
    *("NUMBA_CPU_FEATURES", "NUMBA_THREADING_LAYER", "NUMBA_BOUNDSCHECK"),
    *("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "XLA_FLAGS", "JAX_PLATFORMS"),
    *("JAX_DISABLE_JIT", "JAX_DEBUG_NANS", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING"),
    *("LD_PRELOAD", "PYTHONMALLOC", "PYTHONDEVMODE"),
)
"""Environment variables that change how fast a library is, or whether it runs at all."""

EXTRAS = {
    "pyarrow": "Parquet, Arrow and .zst files",
    "matplotlib": "plot, and fit --plot",
    "jinja2": "report",
    "sklearn": "estimators in descentbench.sklearn",
}
"""Modules of optional packages (keys), and the features that need each module (values)."""

PACKAGES = {"sklearn": "scikit-learn"}
"""Package names for ``pip install`` (values) that differ from the module names (keys)."""

CPP_COMPILERS = ("c++", "g++", "clang++")
"""Names of C++ compilers."""


def overrides(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each variable of `OVERRIDES` that is set in `environment`."""
    for name in OVERRIDES:
        if name in environment:
            found = f"{name}={environment[name]}"
            mend = f"unset {name}, unless it is set on purpose"
            yield Finding("environment", found, "note", mend)


def compiler() -> Finding:
    """Check whether a C compiler and a C++ compiler are installed.

    ``run --limit`` needs a C compiler. ``torch:compile`` on the CPU needs a C++ compiler.
    """
    found = [name for name in (*COMPILERS, *CPP_COMPILERS) if shutil.which(name)]
    uses = {
        "run --limit needs a C compiler": COMPILERS,
        "torch:compile on the CPU needs a C++ compiler": CPP_COMPILERS,
    }
    missing = [use for use, names in uses.items() if not set(names) & set(found)]
    if not missing:
        return Finding("compiler", ", ".join(found))
    mend = "apt-get install g++, or your system's package"
    return Finding("compiler", "; ".join(missing), "note", mend)


def extras() -> Iterator[Finding]:
    """Yield a finding for each optional package of `EXTRAS` that is not installed."""
    for module, use in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            package = PACKAGES.get(module, module)
            yield Finding(package, f"not installed: no {use}", "note", f"pip install {package}")
