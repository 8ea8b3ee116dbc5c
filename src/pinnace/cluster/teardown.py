"""What a real node leaves on the machine when its process was killed, and how it is removed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pinnace.cluster.errors import ClusterError, Exit

if TYPE_CHECKING:
    from pinnace.kubelet.containerd import Containerd


#: Seconds that containers have to end, if their files are to be used again.
GRACE = 5.0


def has_leftovers(data_dir: Path) -> bool:
    """Whether containers of the node of ``data_dir``, which runs no cluster, still run."""
    if not _had_real_node(data_dir):
        return False

    from pinnace.kubelet import leftovers

    return leftovers.found(_containerd(data_dir.absolute()))


def containers_left(data_dir: Path) -> int:
    """How many containers of the node of ``data_dir``, which runs no cluster, still run; 0 for who may not know."""
    if not _had_real_node(data_dir) or os.geteuid() != 0:
        return 0

    from pinnace.kubelet import leftovers

    return leftovers.running_containers(_containerd(data_dir.absolute()))


def remove_leftovers(data_dir: Path, *, purge: bool) -> None:
    """End the containers and remove the mounts, cgroups, interfaces and rules that the node of ``data_dir``, which the
    caller holds, left behind; its files stay, and unless they are to be purged, containers can end in good order.
    Nothing to do for one that only simulated. Raises ClusterError."""
    if not _had_real_node(data_dir):
        return
    if os.geteuid() != 0:
        raise ClusterError(
            Exit.NOT_PERMITTED, f"a real node with containers of root ran on {data_dir}; be root to stop and remove it"
        )
    _remove_containers(data_dir.absolute(), 0.0 if purge else GRACE)
    _remove_network()


def _had_real_node(data_dir: Path) -> bool:
    return (data_dir / "node" / "containerd").exists()


def _containerd(data_dir: Path) -> Containerd:
    from pinnace.cluster import machine, realnode
    from pinnace.core.clock import RealClock

    return realnode.private_containerd(data_dir, RealClock(), machine.inspect())


def _remove_containers(data_dir: Path, grace: float) -> None:
    from pinnace.cluster import realnode
    from pinnace.core.clock import RealClock
    from pinnace.kubelet import leftovers

    pods = realnode.kubelet_directory(data_dir) / "pods"
    try:
        asyncio.run(leftovers.remove(_containerd(data_dir), pods, data_dir, RealClock(), grace=grace))
    except OSError as error:
        raise ClusterError(Exit.ERROR, f"cannot remove what the node of {data_dir} left: {error}") from error


def _remove_network() -> None:
    from pinnace.network import host

    try:
        host.remove_leftovers()
    except host.HostError as error:
        raise ClusterError(Exit.NOT_PERMITTED, str(error)) from error
