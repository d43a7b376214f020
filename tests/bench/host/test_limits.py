from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from bench.host import limits
from tests.support.cgroups import lay_out, v2

GIB = 1 << 30
MEMINFO = "MemTotal:  8388608 kB\nMemFree:  1024 kB\nMemAvailable:  2097152 kB\n"


V1 = "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        pytest.param({}, math.inf, id="no control groups"),
        pytest.param(v2("/", {"cpu.max": "max 100000"}), math.inf, id="no quota"),
        pytest.param(v2("/", {"cpu.max": "200000 100000"}), 2, id="container's own root"),
        pytest.param(v2("/", {"cpu.max": "150000 100000"}), 2, id="rounded up"),
        pytest.param(v2("/", {"cpu.max": "300000 50000"}), 6, id="another period"),
        pytest.param(v2("/", {"cpu.max": "1000 100000"}), 1, id="at least one"),
        pytest.param(
            v2("/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}),
            3,
            id="the parent's",
        ),
        pytest.param(
            v2("/a/b", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "800000 100000"}),
            2,
            id="the tightest is the innermost",
        ),
        pytest.param(
            v2("/a/b", {"a/b/cpu.max": "800000 100000", "cpu.max": "400000 100000"}),
            4,
            id="the tightest is the root's",
        ),
        pytest.param(
            v2("/a", {"a/cpu.max": "max 100000", "ab/cpu.max": "100000 100000"}),
            math.inf,
            id="a stranger's does not count",
        ),
        pytest.param(
            v2("/host/path/not/mounted", {"cpu.max": "200000 100000"}),
            2,
            id="the host's path",
        ),
        pytest.param(
            v2("/a", {"unified/a/cpu.max": "500000 100000"}), 5, id="beside version 1"
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3,
            id="version 1",
        ),
    ],
)
def test_cpu_quota(tmp_path: Path, files: dict[str, str], cpus: float) -> None:
    assert limits.cpu_quota(lay_out(tmp_path, files)) == cpus


def test_cpu_count_is_the_lesser_of_quota_and_affinity(tmp_path: Path) -> None:
    here = len(limits.affinity())
    assert limits.cpu_count(tmp_path / "empty") == here
    one = lay_out(tmp_path / "one", v2("/", {"cpu.max": "100000 100000"}))
    assert limits.cpu_count(one) == 1
    many = lay_out(tmp_path / "many", v2("/", {"cpu.max": "900000000 100000"}))
    assert limits.cpu_count(many) == here
    assert isinstance(limits.cpu_count(many), int)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
def test_affinity_is_the_kernels() -> None:
    assert limits.affinity() == os.sched_getaffinity(0)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(v2("/a", {"a/memory.max": f"{GIB}"}), id="version 2"),
        pytest.param(v2("/a", {"a/memory.max": "max", "memory.max": f"{GIB}"}), id="parent"),
        pytest.param(
            v2("/a", {"a/memory.max": f"{2 * GIB}", "memory.max": f"{GIB}"}), id="tightest"
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{GIB}",
            },
            id="version 1",
        ),
    ],
)
def test_memory_is_the_control_groups(tmp_path: Path, files: dict[str, str]) -> None:
    assert limits.memory_bytes(lay_out(tmp_path, files)) == GIB


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux only")
def test_memory_is_the_machines_where_nothing_limits_it(tmp_path: Path) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    assert limits.memory_bytes(tmp_path) == total * 1024
    huge = lay_out(tmp_path, v2("/", {"memory.max": f"{1 << 60}"}))
    assert limits.memory_bytes(huge) == total * 1024


@pytest.mark.parametrize(
    ("files", "available"),
    [
        pytest.param({}, 2 * GIB, id="MemAvailable"),
        pytest.param(
            v2(
                "/a",
                {
                    "a/memory.max": f"{GIB}",
                    "a/memory.current": "700000000",
                    "a/memory.stat": "anon 1\ninactive_file 200000000\nactive_file 7",
                },
            ),
            GIB - 500_000_000,
            id="file cache is free",
        ),
        pytest.param(
            v2("/", {"memory.max": f"{9 * GIB}", "memory.current": f"{GIB}"}),
            2 * GIB,
            id="the machine has less than the control group grants",
        ),
        pytest.param(
            v2("/", {"memory.max": f"{GIB}", "memory.current": f"{GIB + 4096}"}),
            0,
            id="never below nothing",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{GIB}",
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "600000000",
                "sys/fs/cgroup/memory/job/memory.stat": (
                    "inactive_file 5\ntotal_inactive_file 100000000"
                ),
            },
            GIB - 500_000_000,
            id="version 1",
        ),
    ],
)
def test_available(tmp_path: Path, files: dict[str, str], available: int) -> None:
    root = lay_out(tmp_path, {"proc/meminfo": MEMINFO} | files)
    assert limits.available_bytes(root) == available


def test_available_is_part_of_what_there_is(tmp_path: Path) -> None:
    assert 0 < limits.available_bytes() <= limits.memory_bytes()
    assert limits.available_bytes(tmp_path) == limits.memory_bytes(tmp_path)
