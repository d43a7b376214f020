"""Test that every page of docs/examples works from its first step to its last.

Each page starts in an empty folder. Benchmarks and picks are shortened; all else runs as the
page says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.documents import MEASURED, ROOT, skeleton
from tests.support.pages import Part, parts, words

EXAMPLES = sorted(ROOT.glob("docs/examples/*.md"))
JOBS = [page for page in EXAMPLES if page.name != "README.md"]

SHORT_RUN = ["--passes", "1", "--more", "0", "--seconds", "0.01"]
"""Options that make the benchmarks of a page short."""

MOST = {"--rows": "1000", "--features": "4", "--iterations": "20"}
"""Option → its value in a shortened command."""

PICK = "rows=10**9, features=8, iterations=500,"
SHORT_PICK = 'rows=1000, iterations=20, backends=["numpy"],'
"""A pick in the pages' Python code (`PICK`), and its shortened version."""

FOR_READERS_ONLY = ("git",)
"""Programs that are not run, because the test prepares their results."""


@pytest.mark.parametrize("page", JOBS, ids=lambda page: page.stem)
def test_an_example_works_from_end_to_end(page: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "before").symlink_to(ROOT)  # another checkout
    done = [step(part, here) for part in parts(page)]
    assert {"command", "python"} <= {kind for kind in done if kind}


def step(part: Part, here: Path) -> str:
    """Do one step of a page; return its kind, or "" if nothing was run."""
    if part.kind == "file":
        (here / part.name).parent.mkdir(parents=True, exist_ok=True)
        (here / part.name).write_text(part.text, encoding="utf-8")
        return part.kind
    if part.kind == "python":
        code = part.text.replace(PICK, SHORT_PICK)
        needed = [m for m in ("pandas", "sklearn") if re.search(rf"\b{m}\b", code)]
        for module in needed:
            pytest.importorskip(module)
        called(here, "-c", code)
        return part.kind
    program, *rest = words(part.text)
    if program in FOR_READERS_ONLY:
        return ""
    if program == "pip":
        install(here)
        return ""
    assert program == "descentbench"
    output = called(here, "-m", "bench", *short(rest))
    shown = part.output.partition("…")[0]
    assert skeleton(shown) in skeleton(output), output
    return part.kind


def short(arguments: list[str]) -> list[str]:
    """Return the command, shortened so that its measurements end in seconds."""
    command, *rest = arguments
    if command not in ("run", "pick"):
        return arguments
    for i, (before, _) in enumerate(pairwise(rest), 1):
        rest[i] = MOST.get(before, rest[i])
    return [command, *rest, *(SHORT_RUN if command == "run" else MEASURED)]


def called(here: Path, *arguments: str) -> str:
    """Run Python in the folder; return its output.

    The exit code must be 0. ``compare`` may end with 1, because short runs can seem different.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=here,
        env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode in ((0, 1) if "compare" in arguments else (0,)), done.stderr
    return done.stdout


def install(here: Path) -> None:
    """Install the project in the folder as pip does, by declaring its entry points."""
    project = tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = here / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    fields = {"Metadata-Version": "2.1", "Name": project["name"], "Version": "1.0"}
    (metadata / "METADATA").write_text("".join(f"{k}: {v}\n" for k, v in fields.items()))
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_list_names_every_example() -> None:
    text = (ROOT / "docs/examples/README.md").read_text(encoding="utf-8")
    assert {*re.findall(r"\]\((\S+\.md)\)", text)} == {page.name for page in JOBS}
