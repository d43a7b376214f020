"""Test how long threads wait for a processor, and the warm-up, which lasts while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.host import waiting
from bench.host.waiting import Waiting, waited_s, warm_up


def threads(root: Path, **seconds: float) -> Path:
    """Write the kernel's files of a process; `seconds` are the waiting times of its threads."""
    for name, waited in seconds.items():
        task = root / "proc/self/task" / name
        task.mkdir(parents=True, exist_ok=True)
        (task / "schedstat").write_text(f"123 {int(waited * 1e9)} 4\n")
    return root


def test_the_threads_waits_add_up(tmp_path: Path) -> None:
    assert waited_s(threads(tmp_path, a=1.5, b=0.25)) == 1.75


@pytest.mark.parametrize("text", ["", "0", "123 x"])
def test_nobody_counts(tmp_path: Path, text: str) -> None:
    assert waited_s(tmp_path) is None
    (threads(tmp_path, a=1.0) / "proc/self/task/a/schedstat").write_text(text)
    assert waited_s(tmp_path) is None
    assert Waiting(tmp_path).share() is None


def test_a_share_is_of_the_time_since(tmp_path: Path) -> None:
    since = Waiting(threads(tmp_path, a=100.0))
    time.sleep(0.01)
    threads(tmp_path, a=100.02)
    least = 0.02 / (time.perf_counter() - since.began)
    assert 0.5 * least < since.share() <= 2.0
    threads(tmp_path, a=99.0)  # a thread has ended
    assert since.share() == 0.0


def test_a_warm_up_goes_on_until_nobody_waits(tmp_path: Path) -> None:
    waits = iter([1.0, 2.0, 3.0, 3.0, 9.0])

    def work() -> None:
        threads(tmp_path, a=next(waits))

    threads(tmp_path, a=0.0)
    warm_up(work, tmp_path)
    assert next(waits) == 9.0


def test_a_warm_up_ends_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_S", 0.05)
    waited, began = [0.0], time.perf_counter()

    def work() -> None:
        waited[0] += 1.0
        time.sleep(0.01)
        threads(tmp_path, a=waited[0])

    warm_up(work, threads(tmp_path, a=0.0))
    assert 2 <= waited[0] <= 5
    assert time.perf_counter() - began >= 0.05


def test_work_is_done_once_where_nobody_counts(tmp_path: Path) -> None:
    calls: list[int] = []
    warm_up(lambda: calls.append(1), tmp_path)
    assert calls == [1]


@pytest.mark.skipif(waited_s() is None, reason="this kernel does not count waits")
def test_a_rival_for_the_processor_is_seen() -> None:
    """Check the waiting time of a process that shares a processor with another: about half."""
    code = "import os, time\nos.sched_setaffinity(0, {CPU})\n"
    code += "end = time.monotonic() + 3\nprint(flush=True)\nwhile time.monotonic() < end: pass"
    before = os.sched_getaffinity(0)
    cpu = min(before)
    command = [sys.executable, "-c", code.replace("CPU", str(cpu))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as rival:
        rival.stdout.readline()
        os.sched_setaffinity(0, {cpu})
        try:
            since = Waiting()
            while time.perf_counter() - since.began < 0.5:
                pass
            share = since.share()
        finally:
            os.sched_setaffinity(0, before)
            rival.kill()
    assert share > 0.2
