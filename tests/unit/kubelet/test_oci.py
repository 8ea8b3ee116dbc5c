"""Which OCI runtime is chosen."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pinnace.kubelet import oci


def tool(directory: Path, name: str, code: int = 0) -> str:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {name} is here >&2\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


async def test_crun_before_runc_before_none(tools: Path, tmp_path: Path) -> None:
    assert await oci.choose(tmp_path, cgroups=tmp_path) is None
    runc = tool(tools, "runc")
    assert await oci.choose(tmp_path, cgroups=tmp_path) == oci.OciRuntime("runc", runc)
    crun = tool(tools, "crun")
    assert await oci.choose(tmp_path, cgroups=tmp_path) == oci.OciRuntime("crun", crun)


async def test_a_crun_that_does_not_work_is_not_used(
    tools: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runc, crun = tool(tools, "runc"), tool(tools, "crun", code=3)
    with caplog.at_level(logging.WARNING):
        assert await oci.choose(tmp_path, cgroups=tmp_path) == oci.OciRuntime("runc", runc)
    assert f"{crun} does not work here: exit code 3 crun is here" in caplog.text


async def test_where_both_hierarchies_have_controllers_crun_is_wrapped(tools: Path, tmp_path: Path) -> None:
    crun = tool(tools, "crun")
    unified = tmp_path / "unified"
    unified.mkdir()
    (unified / "cgroup.controllers").write_text("\n")
    assert await oci.choose(tmp_path, cgroups=tmp_path) == oci.OciRuntime("crun", crun)
    (unified / "cgroup.controllers").write_text("hugetlb\n")
    assert oci.without_unified(crun, tmp_path) != oci.without_unified(crun)
    await oci.choose(tmp_path, cgroups=tmp_path)  # it cannot be run here: this is no mount, and takes root
    made = tmp_path / "crun"
    assert made.read_bytes() == oci.without_unified(crun, tmp_path)
    assert os.access(made, os.X_OK)
