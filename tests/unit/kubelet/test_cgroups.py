"""Pods' cgroups in both versions of the hierarchy, on directories that stand for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinnace.kubelet.pods.cgroups import Cgroups, Usage

POD = "/kubepods/burstable/podu1"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    for name in ("cpu", "cpuacct", "memory", "pids"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def second(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    return tmp_path


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_limits(first: Path) -> None:
    Cgroups(first).create(POD, 512, 50_000, 1 << 20)
    assert (first / f"cpu{POD}/cpu.shares").read_text() == "512"
    assert (first / f"cpu{POD}/cpu.cfs_quota_us").read_text() == "50000"
    assert (first / f"memory{POD}/memory.limit_in_bytes").read_text() == str(1 << 20)


def test_limits_of_the_second_version(second: Path) -> None:
    Cgroups(second).create(POD, 1024, 50_000, 1 << 20)
    inside = second / POD.lstrip("/")
    assert (inside / "cpu.weight").read_text() == "39"
    assert (inside / "cpu.max").read_text() == "50000 100000"
    assert (inside / "memory.max").read_text() == str(1 << 20)
    assert "+memory" in (second / "kubepods/burstable/cgroup.subtree_control").read_text()


def test_classes_share_the_cpus(first: Path) -> None:
    cgroups = Cgroups(first)
    cgroups.share_out("besteffort", 2)  # there is none yet
    write(first / "cpu/kubepods/burstable", cpu__shares="1024")
    cgroups.share_out("burstable", 307)
    assert (first / "cpu/kubepods/burstable/cpu.shares").read_text() == "307"


def test_usage(first: Path) -> None:
    cgroups = Cgroups(first)
    assert cgroups.usage("u1") is None
    write(first / f"cpuacct{POD}/c1", cpuacct__usage="1500000000\n")
    stat = "total_inactive_file 1000\ntotal_rss 3000\n"
    write(first / f"memory{POD}/c1", memory__usage_in_bytes="5000\n", memory__stat=stat)
    assert cgroups.usage("u1", "c1") == Usage(1_500_000_000, 4000, 3000, 5000)


def test_usage_of_the_second_version(second: Path) -> None:
    stat = "anon 3000\ninactive_file 1000\n"
    write(
        second / "kubepods/podu1", memory__current="5000\n", memory__stat=stat, cpu__stat="usage_usec 7\nuser_usec 1\n"
    )
    assert Cgroups(second).usage("u1") == Usage(7000, 4000, 3000, 5000)
