"""Sessions: ``nox -l`` is the menu."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"  # pip, because the constraints are pip's
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "all") -> None:
    """Install the project and dependency groups at the versions that were tested."""
    packages = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    session.install("-c", "constraints.txt", "-e", f".[{extras}]", *packages)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure, print the table and write the report; arguments go to `descentbench run`."""
    install(session)
    session.run("descentbench", "run", "--report", "report.html", *session.posargs)


@nox.session(name="pick-check", default=False)
def pick_check(session: nox.Session) -> None:
    """Ask for two dozen picks, then measure every backend and say what each pick cost."""
    install(session)
    session.run("python", "-m", "bench.checks.pick", *session.posargs)


@nox.session(name="compare-check", default=False)
def compare_check(session: nox.Session) -> None:
    """Compare the same code with itself, and with a slower copy; count wrong verdicts."""
    install(session)
    session.run("python", "-m", "bench.checks.compare", *session.posargs)


@nox.session(name="scale-check", default=False)
def scale_check(session: nox.Session) -> None:
    """Hold streaming against reading a file once, and a cluster against plain processes."""
    install(session)
    session.run("python", "-m", "bench.checks.scale", *session.posargs)


@nox.session(default=False)
def pictures(session: nox.Session) -> None:
    """Draw the README's pictures anew from the results in `results/`."""
    install(session, extras="plot")
    figures = ("--figure", "scaling", "--figure", "map")
    session.run("descentbench", "plot", "results", "--output", "docs/pictures", *figures)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff) and types (mypy strict)."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject claims."""
    extras = PROJECT["project"]["optional-dependencies"]
    claimed = [*PROJECT["project"]["dependencies"], *(r for e in extras.values() for r in e)]
    lowest = [r.replace(">=", "==") for r in claimed if "descentbench[" not in r]
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install(*lowest, *groups)
    session.install("--no-deps", "-e", ".")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Try 10 000 hostile inputs of every kind; arguments go to pytest."""
    install(session, "test")
    session.run(
        "pytest",
        "tests/command_line/test_hostile.py",
        *session.posargs,
        env={"FUZZ_CASES": "10000"},
    )


MUTATED = {
    "backends/reference.py": "tests/backends/test_reference.py",
    "backends/numpy.py": (
        "tests/backends/test_contract.py tests/backends/test_libraries.py -k numpy"
    ),
    "bench/pick/model.py": "tests/bench/pick/test_model.py",
    "bench/pick/recommend.py": "tests/bench/pick/test_recommend.py",
}
"""A module, and the tests that must notice a change in it."""

COSMIC_RAY = """
[cosmic-ray]
module-path = "{module}"
timeout = 60.0
excluded-modules = []
test-command = "python -m pytest -x -q -p no:cacheprovider {tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
# `int | None` is a type, which nothing computes; decorators make data classes and properties.
exclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*", "core/RemoveDecorator"]
"""


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Make small changes to some modules and show those that no test notices.

    Arguments are modules (default: all that have tests named for it), and `--sample N`
    for N changes to each, drawn at random, instead of every one; `--seed` draws others.
    """
    parser = argparse.ArgumentParser("nox -s mutation --")
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(session.posargs)
    install(session, "test", "mutation", extras="report")
    copy = Path(session.create_tmp()).resolve() / "copy"  # which is changed in place
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("backends", "bench", "tests"):
        shutil.copytree(name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(name, copy)
    session.chdir(copy)
    # A module changed twice in a second would be run from the first change's bytecode.
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


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the GPU tests and benchmarks on this machine's CUDA devices."""
    session.install(
        "-e", ".[all]", "jax[cuda12]", *nox.project.dependency_groups(PROJECT, "test")
    )
    session.run("pytest", "-m", "gpu", *session.posargs)
    measure = ("descentbench", "run", "--backend", "*@cuda:*", "--store", "results")
    session.run(*measure)
    session.run(*measure, "--limit")
