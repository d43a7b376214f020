"""Sessions: ``nox -l`` is the menu."""

from __future__ import annotations

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
    session.run("python", "-m", "bench.check")


@nox.session(name="compare-check", default=False)
def compare_check(session: nox.Session) -> None:
    """Compare the same code with itself, and with a slower copy; count wrong verdicts."""
    install(session)
    session.run("python", "-m", "bench.compare_check", *session.posargs)


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
    lowest = [r.replace(">=", "==") for r in claimed if "[" not in r]
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install(*lowest, *groups)
    session.install("--no-deps", "-e", ".")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Try 10 000 hostile inputs of every kind; arguments go to pytest."""
    install(session, "test")
    session.run(
        "pytest", "tests/test_hostile.py", *session.posargs, env={"FUZZ_CASES": "10000"}
    )


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the GPU tests and benchmarks on this machine's CUDA devices."""
    session.install(
        "-e", ".[all]", "jax[cuda12]", *nox.project.dependency_groups(PROJECT, "test")
    )
    session.run("pytest", "-m", "gpu", *session.posargs)
    session.run("descentbench", "run", "--backend", "*@cuda:*", "--store", "results")
