"""Define the project's nox sessions; ``nox -l`` lists them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"  # with pip, which reads constraints.txt
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "all") -> None:
    """Install the project and dependency groups with the versions in constraints.txt."""
    packages = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    session.install("-c", "constraints.txt", "-e", f".[{extras}]", *packages)


@nox.session(default=False)
def environment(session: nox.Session) -> None:
    """Install the environment that most sessions share; it runs before each of them."""
    install(session, "test", "lint")


def shared(function: Callable[[nox.Session], None]) -> Callable[..., Any]:
    """Make a function a nox session that runs in the environment of session `environment`."""
    name = function.__name__.replace("_", "-")
    decorate = nox.session(
        name=name,
        venv_backend="none",
        requires=["environment"],
        default=name in nox.options.sessions,
    )
    return decorate(function)


def run(session: nox.Session, program: str, *arguments: str, **options: Any) -> None:
    """Run a program that is installed in the shared environment."""
    home = session.cache_dir.parent / "environment"
    programs = home.resolve() / ("Scripts" if sys.platform == "win32" else "bin")
    session.env["PATH"] = os.pathsep.join((str(programs), os.environ["PATH"]))
    session.run(str(programs / program), *arguments, **options)


@shared
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    run(session, "pytest", *session.posargs)


@shared
def lint(session: nox.Session) -> None:
    """Check style (ruff), types (mypy strict) and import directions (import-linter)."""
    run(session, "ruff", "check")
    run(session, "ruff", "format", "--check")
    run(session, "mypy")
    run(session, "lint-imports", "--no-cache")


@shared
def bench(session: nox.Session) -> None:
    """Measure, print the tables and write report.html; arguments go to `descentbench run`."""
    run(session, "descentbench", "run", "--report", "report.html", *session.posargs)


@shared
def pick_check(session: nox.Session) -> None:
    """Make 26 picks and measure every backend; print how good the picks are."""
    run(session, "python", "-m", "bench.checks.pick", *session.posargs)


@shared
def simulation(session: nox.Session) -> None:
    """Simulate 300 picks on made-up machines; print how good the picks are."""
    run(session, "python", "-m", "bench.checks.simulation", *session.posargs)


@shared
def compare_check(session: nox.Session) -> None:
    """Count wrong verdicts of `compare`, with the same code and with one slower backend."""
    run(session, "python", "-m", "bench.checks.compare", *session.posargs)


@shared
def benchmark_check(session: nox.Session) -> None:
    """Compare the times of `pytest --benchmark-only` with those of `descentbench run`."""
    run(session, "python", "-m", "bench.checks.one_process", *session.posargs)


@shared
def autograd_cost(session: nox.Session) -> None:
    """Time each library's steps with autograd, compiled, and with a gradient by hand."""
    run(session, "python", "-m", "bench.checks.autograd_cost", *session.posargs)


@shared
def scale_check(session: nox.Session) -> None:
    """Compare streaming with a plain read of the file, and a cluster with plain processes."""
    run(session, "python", "-m", "bench.checks.scale", *session.posargs)


@shared
def regression_check(session: nox.Session) -> None:
    """Compare the times of fits with descentbench, scikit-learn and SciPy."""
    run(session, "python", "-m", "descentbench.checks.regression", *session.posargs)


@shared
def pages_check(session: nox.Session) -> None:
    """Compare steps over data copied from shared memory with steps over generated data."""
    run(session, "python", "-m", "bench.checks.shared_pages", *session.posargs)


@shared
def results(session: nox.Session) -> None:
    """Write the measured tables, pictures and gallery of README.md and docs/ from results/."""
    run(session, "python", "-m", "bench.report.results_page", *session.posargs)
    run(session, "python", "-m", "bench.report.gallery")


@shared
def fuzz(session: nox.Session) -> None:
    """Run the tests that use invalid or damaged inputs, with 10,000 inputs of each kind."""
    hostile = sorted(map(str, Path("tests").rglob("test_hostile*.py")))
    hours = "faulthandler_timeout=7200"  # a test of 10,000 inputs takes many minutes
    run(session, "pytest", "-o", hours, *hostile, *session.posargs, env={"FUZZ_CASES": "10000"})


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows."""
    extras = PROJECT["project"]["optional-dependencies"]
    # jax-triton needs a GPU and a newer JAX, so it is not installed.
    extras = {name: listed for name, listed in extras.items() if name != "jax-triton"}
    claimed = [*PROJECT["project"]["dependencies"], *(r for e in extras.values() for r in e)]
    lowest = [r.replace(">=", "==") for r in claimed if "descentbench[" not in r]
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install(*lowest, *groups)
    session.install("--no-deps", "-e", ".")
    session.run("pytest", *session.posargs)


MUTATED = {
    "backends/reference.py": "tests/backends/test_reference.py",
    "backends/numpy/blocked.py": (
        "tests/backends/test_contract.py tests/backends/test_numpy.py "
        "tests/backends/test_gram.py -k numpy"
    ),
    "backends/losses.py": "tests/backends/test_losses.py tests/backends/test_derivatives.py",
    "backends/derivatives.py": "tests/backends/test_derivatives.py",
    "bench/pick/model.py": "tests/bench/pick/test_model.py",
    "bench/pick/recommend.py": "tests/bench/pick/test_recommend.py",
}
"""File that `mutation` changes → pytest arguments that select the tests of this file."""

COSMIC_RAY = """
[cosmic-ray]
module-path = "{module}"
timeout = 60.0
excluded-modules = []
test-command = "python -m pytest -x -q -p no:cacheprovider {tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
# `int | None` is a type, which is never computed; decorators make data classes and properties.
exclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*", "core/RemoveDecorator"]
"""
"""Configuration of Cosmic Ray for one file; `mutation` fills in `module` and `tests`."""


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Make small changes in some files, and show the changes that no test detects.

    Arguments are file names; by default, all keys of `MUTATED`. The option `--sample N` tries
    only N random changes of each file, and `--seed` selects other random changes.
    """
    parser = argparse.ArgumentParser("nox -s mutation --")
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(session.posargs)
    install(session, "test", "mutation", extras="report")
    copy = Path(session.create_tmp()).resolve() / "copy"  # Cosmic Ray changes files in place
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("backends", "bench", "descentbench", "tests"):
        shutil.copytree(name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(name, copy)
    session.chdir(copy)
    # Bytecode of one change could be used for the next one, if both are made within a second.
    session.env["PYTHONDONTWRITEBYTECODE"] = "1"
    mutants = ("python", "tests/support/mutants.py")
    for module in asked.modules or MUTATED:
        config, found = copy / "cosmic-ray.toml", copy / "found.sqlite"
        config.write_text(COSMIC_RAY.format(module=module, tests=MUTATED[module]))
        session.run("cosmic-ray", "init", "--force", str(config), str(found))
        session.run("cr-filter-operators", str(found), str(config))
        if asked.sample:
            number = str(asked.sample)
            session.run(*mutants, "sample", str(found), number, f"--seed={asked.seed}")
        session.run("cosmic-ray", "exec", str(config), str(found))
        session.run("cr-report", "--surviving-only", "--show-diff", str(found))
        session.run(*mutants, "share", str(found))


@nox.session(default=False, venv_backend="none")
def gpu(session: nox.Session) -> None:
    """Test and measure this machine's GPU in at most eight minutes.

    The session installs nothing: it uses the first `python` in PATH and its packages. Without a
    GPU, similar parts run on the CPU with small sizes.
    """
    python = shutil.which("python") or "python3"
    session.run(python, "-m", "bench.checks.gpu", *session.posargs, external=True)
