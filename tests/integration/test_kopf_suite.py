"""kopf's own end-to-end tests, from its source distribution, against clusters of ours: each of its examples runs as an
operator, and does with stock kubectl what its documentation says.

They wait more than they work: four of them run side by side, each with a cluster of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.tools import ROOT, kubectl_binary

from pinnace.testing import Pinnace

SUITE = ROOT / ".cache" / "suites" / "kopf-1.45.2"
#: In place of the library that its webhook server makes certificates with.
CERTBUILDER = ROOT / "tests" / "kopf"
SIDE_BY_SIDE = 4
TESTS = "tests/e2e/test_examples.py::test_all_examples_are_runnable"
#: On a busy machine kopf's event loop ends before the last of its client's connections has closed.
LEFT_OPEN = "ignore:unclosed transport:ResourceWarning"
#: kopf's own, without the plugins that only its unit tests need.
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


def test_kopfs_examples_run(pinnace_factory: Callable[[], Pinnace], tmp_path: Path):
    examples = sorted(path.name for path in (SUITE / "examples").iterdir() if path.is_dir())
    wanted = [name for name in examples if not list((SUITE / "examples" / name).glob("test*"))]
    assert len(wanted) == 14
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "kubectl").symlink_to(kubectl_binary())
    running = [
        start(pinnace_factory(), tmp_path, wanted[share::SIDE_BY_SIDE], tmp_path / f"output-{share}")
        for share in range(SIDE_BY_SIDE)
    ]
    try:
        codes = [process.wait(180) for process in running]
    finally:
        for process in running:
            process.kill()
    shown = "\n".join((tmp_path / f"output-{share}").read_text() for share in range(SIDE_BY_SIDE))
    assert codes == [0] * SIDE_BY_SIDE, shown
    assert shown.count("PASSED") == len(wanted), shown


def start(cluster: Pinnace, directory: Path, examples: list[str], output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-v", "-c", str(directory / "pytest.ini"), "--rootdir", str(SUITE)]
    options = ["-p", "no:cacheprovider", "-p", "no:pinnace", "--only-e2e", "-W", LEFT_OPEN]
    chosen = [f"{TESTS}[{example}]" for example in examples]
    env = {**cluster.env, "PATH": f"{directory}:{os.environ['PATH']}", "PYTHONPATH": str(CERTBUILDER)}
    with output.open("wb") as file:
        return subprocess.Popen(
            [*command, *options, *chosen], cwd=SUITE, env=env, stdout=file, stderr=file, stdin=subprocess.DEVNULL
        )
