"""The examples' tests pass, run in their folders as whoever tries them runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tools import ROOT

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/test_*.py"))


def test_there_are_examples():
    assert {path.name for path in EXAMPLES} == {"kopf-operator", "kubernetes-script"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_examples_own_tests_pass(example: Path, tmp_path: Path):
    assert (example / "README.md").exists()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=example, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
