"""What a real node leaves on the machine when its process was killed, and how it is removed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pinnace.cluster.errors import ClusterError, Exit


def remove_leftovers(data_dir: Path) -> None:
    """End the containers and remove the mounts, cgroups, interfaces and rules that the node of ``data_dir``, which the
    caller holds, left behind. Nothing to do for one that only simulated. Raises ClusterError."""
    data_dir = data_dir.absolute()
    if not (data_dir / "node" / "containerd").exists():
        return
    if os.geteuid() != 0:
        raise ClusterError(
            Exit.NOT_PERMITTED, f"a real node with containers of root ran on {data_dir}; be root to remove it"
        )
    _remove_containers(data_dir)
    _remove_network()


def _remove_containers(data_dir: Path) -> None:
    from pinnace.cluster import machine, realnode
    from pinnace.core.clock import RealClock
    from pinnace.kubelet import leftovers

    clock = RealClock()
    containerd = realnode.private_containerd(data_dir, clock, machine.inspect())
    try:
        asyncio.run(leftovers.remove(containerd, realnode.kubelet_directory(data_dir) / "pods", data_dir, clock))
    except OSError as error:
        raise ClusterError(Exit.ERROR, f"cannot remove what the node of {data_dir} left: {error}") from error


def _remove_network() -> None:
    from pinnace.network import host

    try:
        host.remove_leftovers()
    except host.HostError as error:
        raise ClusterError(Exit.NOT_PERMITTED, str(error)) from error
