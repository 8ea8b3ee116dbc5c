"""The pytest plugin as a project has it that installed Pinnace: options, namespaces, KUBECONFIG, xdist, asyncio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio
import os

import pytest

SEEN = []


def test_the_fixture(pinnace, namespace):
    assert os.environ["KUBECONFIG"] == str(pinnace.kubeconfig)
    assert pinnace.client().get("namespaces", namespace)["status"]["phase"] == "Active"
    SEEN.append((pinnace, namespace))


def test_the_run_shares_the_cluster_and_each_test_has_a_namespace(pinnace, namespace):
    if SEEN:  # on one worker
        assert SEEN[0][0] is pinnace
        assert SEEN[0][1] != namespace
        pinnace.client().wait("namespaces", SEEN[0][1], "deleted")


def test_a_test_without_it_is_left_alone():
    assert os.environ["KUBECONFIG"] == "mine"


@pytest.mark.pinnace(virtual_time="2026-03-01T00:00:00Z")
class TestVirtual:
    def test_a_class_may_choose(self, pinnace):
        assert f"{pinnace.now():%Y-%m-%d}" == "2026-03-01"

    @pytest.mark.pinnace(simulated_nodes=3)
    def test_and_a_test_of_it_more(self, pinnace, request):
        assert request.node.name == "test_and_a_test_of_it_more"
        assert len(pinnace.nodes.names) == 3
        assert f"{pinnace.advance('1d'):%Y-%m-%d}" == "2026-03-02"


def test_what_the_ini_file_says_holds_for_all(pinnace):
    assert len(pinnace.nodes.names) == 2


@pytest.fixture(scope="module")
def own(pinnace_factory):
    return pinnace_factory(parts="apiserver")


def test_a_fixture_makes_its_own(own, pinnace):
    assert own is not pinnace
    assert own.url != pinnace.url
    assert own.client().list("nodes") == []


def test_faults_do_not_outlive_a_test(pinnace):
    pinnace.faults.fail()


@pytest.mark.asyncio
async def test_and_the_next_one_has_none(pinnace, namespace):
    assert len(pinnace.faults) == 0
    await asyncio.sleep(0)
    assert pinnace.client(namespace=namespace).list("configmaps") is not None
"""
INI = """
[pytest]
pinnace_simulated_nodes = 2
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def run(directory: Path, *arguments: str, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    (directory / "pytest.ini").write_text(INI)
    (directory / "test_mine.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "KUBECONFIG": "mine"}
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_projects_tests(tmp_path: Path):
    done = run(tmp_path, "--strict-markers")
    assert "9 passed" in done.stdout, done.stdout + done.stderr


def test_every_worker_of_xdist_has_a_cluster_of_its_own(tmp_path: Path):
    done = run(tmp_path, "-n", "2")
    assert "9 passed" in done.stdout, done.stdout + done.stderr


def test_a_wrong_choice_is_told_where_it_was_made(tmp_path: Path):
    tests = "import pytest\n@pytest.mark.pinnace(virtual_tine=True)\ndef test_it(pinnace): pass\n"
    done = run(tmp_path, tests=tests)
    assert done.returncode != 0
    assert "unknown option virtual_tine; there are" in done.stdout + done.stderr


def test_pytest_imports_nothing_of_it_before_a_test_asks():
    code = (
        "import sys, pytest, pinnace.testing.plugin\n"
        "print([name for name in sys.modules if name.startswith('pinnace')], 'asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().startswith("['pinnace', 'pinnace.testing', 'pinnace.testing.plugin']"), done.stdout


def test_the_package_is_imported_as_any_other_though_a_plugin_is_in_it(tmp_path: Path):
    tests = (
        "from importlib.machinery import SourceFileLoader\n"
        "import pinnace.scheduler.scheduler as part\n"
        "def test_only_tests_have_their_asserts_rewritten():\n"
        "    assert type(part.__loader__) is SourceFileLoader and type(__loader__) is not SourceFileLoader\n"
    )
    done = run(tmp_path, tests=tests)
    assert done.returncode == 0, done.stdout + done.stderr
