"""Test a full or read-only disk: an error in one line, and older files stay."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.host.files import StoreError
from bench.host.threads import ASKED
from bench.results.record import Record
from tests.support.command import descentbench
from tests.support.records import record
from tests.support.runs import SMALL, chosen

Mount = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a limit on threads that an earlier test set; a run would print a line about it."""
    for name in ASKED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return a function that mounts a file system in memory; skip if that is not allowed."""
    mounted = []

    def mounted_at(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        program = shutil.which("mount")
        if sys.platform != "linux" or program is None:
            pytest.skip("needs mount")
        command = [program, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a file system")
        mounted.append(folder)
        return folder

    yield mounted_at
    for folder in mounted:
        subprocess.run([str(shutil.which("umount")), str(folder)], check=True)


def test_a_disk_that_fills_while_measuring(mount: Mount) -> None:
    """Check the error if the disk becomes full during a run; the record that was saved stays.

    The tables of completed sizes may be on stdout.
    """
    store = mount("size=24k")
    run = (*SMALL, *chosen("numpy*"), "--passes", 1, "--seconds", 1, "--store", store)
    done = descentbench(store, *run)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (path,) = store.glob("run-*.json")
    assert not Record.load(path).complete


def test_a_read_only_disk(mount: Mount) -> None:
    store = mount("ro")
    done = descentbench(store, *SMALL, *chosen("numpy"), "--store", store)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line == f"descentbench: cannot write {store / '.lock'}: Read-only file system"


def test_a_record_that_grows_beyond_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    small = replace(record(), tasks={})
    small.save(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * path.stat().st_size, before[1]))
    try:
        with pytest.raises(StoreError, match=f"cannot write {path}: File too large"):
            record().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Record.load(path) == small
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
