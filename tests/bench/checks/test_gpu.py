"""Test the command that tests and measures a GPU: its parts, time limit and output."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bench.checks import gpu, gpu_parts
from bench.checks.gpu import CUT, FAILED, OK, Done, each, slug
from bench.checks.gpu_parts import Part
from bench.cli import main as descentbench
from bench.host.machine import Gpu
from bench.show.mistake import Mistake
from tests.support.records import record

ROOT = Path(__file__).parents[3]

SLEEPS = ["-c", "import time; time.sleep(60)"]

DEAF = ["-c", "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"]
"""Arguments of Python for a program that ignores interrupts."""


def python(code: str, share: float = 1.0) -> Part:
    return Part(code, ["-c", code], share)


def states(done: list[Done]) -> list[str]:
    return [end.state for end in done]


def test_a_part_that_fails_is_told_and_the_others_run(tmp_path: Path) -> None:
    done = list(each([python("0"), python("exit(3)"), python("0")], tmp_path, 60))
    assert states(done) == [OK, FAILED, OK]
    assert done[1].remark == "exit code 3"


@pytest.mark.parametrize("program", [SLEEPS, DEAF], ids=["interrupted", "killed"])
def test_a_part_ends_with_its_time_and_leaves_the_rest_to_others(
    program: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "GRACE_S", 1.0)
    began = time.monotonic()
    parts = [Part("long", program, 1), Part("short", ["-c", "0"], 20)]
    assert states(list(each(parts, tmp_path, 25))) == [CUT, OK]
    assert time.monotonic() - began < 25


def test_without_time_the_rest_is_left_out(tmp_path: Path) -> None:
    (done,) = each([python("0")], tmp_path, 0)
    assert done.line() == "0: left out: no time was left"


def test_cases_that_were_not_measured_are_named(tmp_path: Path) -> None:
    whole = record(sizes=[(100, 1)], name="earlier")
    whole.save(tmp_path / "run-1.json")
    partial = replace(whole, tasks={}, complete=False)
    partial.save(tmp_path / "source.json")
    copies = f"import shutil; shutil.copy({str(tmp_path / 'source.json')!r}, "
    copies += f"{str(tmp_path / 'run-2.json')!r})"
    (done,) = each([python(copies)], tmp_path, 60)
    assert done.state == OK
    count = len(whole.request["rows"])
    assert done.remark.startswith(f"not measured: {count} of {count} cases (")
    assert "numpy/100x1/float32" in done.remark


GPU = Gpu("NVIDIA H200 (141 GB)", 141 << 30, "570")


def called(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    parts: list[Part],
    *arguments: str,
    found: tuple[Gpu, ...] = (),
) -> tuple[int, str, list[Path]]:
    """Run the command with these parts; return exit code, output and folders of records."""
    stores: list[Path] = []

    def chosen(store: Path) -> list[Part]:
        stores.append(store)
        return parts

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu, "gpus", lambda: list(found))
    monkeypatch.setattr(gpu, "on_gpu" if found else "rehearsed", chosen)
    if found and "--rehearse" in arguments:
        monkeypatch.setattr(gpu, "rehearsed", chosen)
    outcome = CliRunner().invoke(gpu.main, arguments)
    return outcome.exit_code, outcome.output, stores


def test_a_rehearsal_says_that_nothing_was_measured_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, said, stores = called(monkeypatch, tmp_path, [python("0")])
    assert code == 0
    assert "(there is no GPU here): nothing is measured on a GPU" in said
    assert said.endswith("This was a rehearsal: nothing was measured on a GPU.\n")
    assert stores == [Path(".benchmarks/rehearsal")]
    code, said, stores = called(
        *(monkeypatch, tmp_path, [python("0")], "--rehearse", "--output", "here"), found=(GPU,)
    )
    assert "nothing was measured on a GPU" in said
    assert stores == [Path("here")]


def test_records_of_a_gpu_go_to_a_folder_of_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, said, stores = called(monkeypatch, tmp_path, [python("0")], found=(GPU,))
    assert (code, stores) == (0, [Path("results/nvidia-h200-141-gb")])
    assert "rehearsal" not in said
    assert slug("***") == "gpu"


def test_a_failed_part_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, said, _ = called(monkeypatch, tmp_path, [python("exit(1)"), python("0")])
    assert code == 1
    assert "- exit(1): failed in" in said
    assert "- 0: done in" in said


@pytest.mark.parametrize("code", [0, 1])
def test_an_interrupt_is_an_exit_code(
    code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fixed bug: the exit code after Ctrl-C was 0, as if every part had run."""

    def interrupted(part: Part, seconds: float) -> tuple[int | None, float]:
        if part.title == "0":
            raise KeyboardInterrupt
        return code, seconds

    monkeypatch.setattr(gpu, "call", interrupted)
    found, said, _ = called(monkeypatch, tmp_path, [python("first"), python("0")])
    assert found == 130
    assert "- 0: left out: interrupted" in said


@pytest.mark.parametrize("parts", [gpu_parts.on_gpu, gpu_parts.rehearsed])
def test_every_part_is_a_command_that_exists(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Check all commands without running them, because a GPU may be available only briefly."""
    monkeypatch.setattr(gpu_parts, "available", lambda names, variables=None: list(names))
    for part in parts(tmp_path):
        assert part.arguments[0] == "-m"
        program, *arguments = part.arguments[1:]
        if program == "bench":
            name, *options = arguments
            command = descentbench.get_command(click.Context(descentbench), name)
            assert command is not None
            command.make_context(name, options)
        else:
            files = [word for word in arguments if word.startswith("tests/")]
            assert all((ROOT / file).exists() for file in files)
            assert files


def test_the_parts_of_a_gpu_fit_into_its_minutes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu_parts, "available", lambda names, variables=None: list(names))
    parts = gpu_parts.on_gpu(tmp_path)
    assert sum(part.share for part in parts) <= 60 * gpu.MINUTES
    asked = " ".join(word for part in parts for word in part.arguments)
    for size in ("100", "1e4", "1e6", "1e7", "1e8"):
        assert f"--rows {size} " in asked
    for words in (
        "--limit",
        "--rows 1e8 --iterations 1000",
        "1e6 --features 32",
        "1e5 --features 1000",
    ):
        assert words in asked


def test_backends_that_cannot_run_are_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*_: Any, **__: Any) -> Any:
        text = (
            '[{"backend": "numpy", "available": true, "reason": null},'
            ' {"backend": "torch", "available": false, "reason": "torch is not installed"}]'
        )
        return type("Answer", (), {"returncode": 0, "stdout": text, "stderr": ""})

    monkeypatch.setattr(gpu_parts.subprocess, "run", answer)
    assert gpu_parts.available(["numpy", "torch", "jax"]) == ["numpy"]
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "descentbench: torch is left out: torch is not installed",
        "descentbench: jax is left out: its library sees no such device",
    ]
    with pytest.raises(Mistake, match="no library here can use the GPU"):
        gpu_parts.available(["numpy", "torch@cuda:0"])
