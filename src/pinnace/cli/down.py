"""``pinnace down``: ask the process that runs the cluster, or a node of one, to stop, and wait until it has. If it was
killed, end what it left running."""

from __future__ import annotations

import os
import select
import shutil
import signal
from pathlib import Path

from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit


def run(path: Path, *, purge: bool, timeout: float) -> int:
    """Stop the cluster of ``path`` if it runs; with ``purge`` remove its data and its kubectl context too."""
    directory = DataDir(path)
    facts = directory.running()
    if facts is None and directory.is_held():
        raise ClusterError(Exit.ERROR, f"a Pinnace on {path} is still starting; try again when it has started")
    if facts is not None:
        _stop(directory, int(facts["pid"]), timeout)
        if "node" in facts and not purge:  # a node on its own leaves its Pods running
            _end_leftovers(directory, was_running=True)
        print("stopped")
    elif not purge:
        _end_leftovers(directory)
    if purge:
        _purge(directory)
    return 0


def _stop(directory: DataDir, pid: int, timeout: float) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], timeout)
    except PermissionError as error:
        raise ClusterError(Exit.NOT_PERMITTED, f"process {pid} belongs to another user; be that user") from error
    finally:
        os.close(process)
    if not ended:
        raise ClusterError(
            Exit.TIMED_OUT, f"process {pid} has not ended within {timeout:g} s; see {directory.log} or kill it"
        )


def _end_leftovers(directory: DataDir, *, was_running: bool = False) -> None:
    from pinnace.cluster import teardown

    if not was_running and not teardown.has_leftovers(directory.path):
        raise ClusterError(Exit.NOT_RUNNING, f"no cluster is running on {directory.path}")
    directory.acquire()
    try:
        teardown.remove_leftovers(directory.path, purge=False)
    finally:
        directory.release()
    if not was_running:
        print("stopped the containers of a Pinnace that was killed")


def _purge(directory: DataDir) -> None:
    from pinnace.cluster import config, kubeconfig, teardown

    facts = directory.last_announced()
    directory.acquire()
    try:
        teardown.remove_leftovers(directory.path, purge=True)
        if facts is not None:
            kubeconfig.remove_kubeconfig(Path(facts["kubeconfig"]), context=config.CONTEXT, server=facts["server"])
        shutil.rmtree(directory.path)
    except OSError as error:
        raise ClusterError(Exit.ERROR, f"cannot remove {error.filename}: {error.strerror}") from error
    finally:
        directory.release()
    print(f"removed {directory.path}")
