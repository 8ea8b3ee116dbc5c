"""The wheel has all that the source tree has, and works where there is nothing else: no checkout, no root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.tools import ROOT, kubectl_binary

#: Root without any of its rights, and by its number nobody; everybody else as they are.
UNPRIVILEGED = ["unshare", "--user"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


def run(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> str:
    """What it printed; from an empty home directory."""
    whole = {"PATH": os.environ["PATH"], "HOME": str(directory), **env}
    done = subprocess.run(command, cwd=directory, env=whole, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_is_in_the_wheel(wheel: Path):
    source = ROOT / "src"
    files = {str(file.relative_to(source)) for file in (source / "pinnace").rglob("*") if file.is_file()}
    wanted = {name for name in files if not name.endswith(".pyc")}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("pinnace/")}
    assert wanted - packed == set()
    assert len(packed) > 300


def test_a_cluster_starts_from_it_without_rights(installed: Path, tmp_path: Path):
    env = {"PYTHONPATH": str(installed)}
    pinnace = [*UNPRIVILEGED, sys.executable, "-m", "pinnace"]
    where = "import os, pinnace; print(os.path.dirname(pinnace.__file__), os.geteuid() != 0)"
    told = run([*UNPRIVILEGED, sys.executable, "-c", where], tmp_path, env)
    assert told.split() == [str(installed / "pinnace"), "True"]
    assert "the node is simulated" in run([*pinnace, "up", "--detach", "--listen", "127.0.0.1:0"], tmp_path, env)
    try:
        nodes = run([*UNPRIVILEGED, str(kubectl_binary()), "get", "nodes", "-o", "json"], tmp_path, env)
        (node,) = json.loads(nodes)["items"]
        assert node["metadata"]["name"] == "simulated-0"
        status = json.loads(run([*pinnace, "status", "-o", "json"], tmp_path, env))
        assert Path(status["dataDir"]).is_relative_to(tmp_path)
    finally:
        run([*pinnace, "down", "--purge"], tmp_path, env)


def test_the_pytest_plugin_comes_with_it(installed: Path, tmp_path: Path):
    """What docs/testing.md begins with, as whoever reads it tries it."""
    first = (ROOT / "docs" / "testing.md").read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "test_it.py").write_text(first)
    command = [*UNPRIVILEGED, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert "1 passed" in run(command, tmp_path, {"PYTHONPATH": str(installed)})
