"""A test run that is killed leaves nothing running."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from tests.clusters import Cluster, wait_for
from tests.tools import ROOT

RUN = """
import signal, sys
from pathlib import Path
from tests.clusters import Cluster
cluster = Cluster(Path(sys.argv[1])).up("--parts", "apiserver")
print("up", flush=True)
if sys.argv[2] == "killed":
    signal.pause()
"""


@pytest.mark.parametrize("how", ["killed", "done"])
def test_a_run_that_is_killed_leaves_nothing_running(tmp_path: Path, how: str):
    command = [sys.executable, "-c", RUN, str(tmp_path), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        cluster = Cluster(tmp_path)
        process = os.pidfd_open(int(cluster.facts["pid"]))
        try:
            if how == "done":  # what a run that ends by itself has not stopped is its own affair
                assert run.wait(20) == 0
                assert not select.select([process], [], [], 0)[0], "its process has ended"
                cluster.down("--purge")
                return
            run.kill()
            wait_for(lambda: not cluster.data_dir.exists(), "the cluster's removal")
            assert select.select([process], [], [], 20)[0], "its process runs on"
        finally:
            os.close(process)
