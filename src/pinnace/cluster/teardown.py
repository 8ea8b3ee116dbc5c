"""What a real node leaves on the machine when its process was killed, and how it is removed."""

from __future__ import annotations

from pathlib import Path

from pinnace.cluster.errors import ClusterError, Exit


def remove_leftovers(data_dir: Path) -> None:
    """Stop the containers and remove mounts, interfaces and tables that the node of ``data_dir`` left behind.
    Nothing to do for one that only simulated. Raises ClusterError."""
    if (data_dir / "node").exists():
        _remove_network()


def _remove_network() -> None:
    from pinnace.network import host

    try:
        host.remove_leftovers()
    except host.HostError as error:
        raise ClusterError(Exit.NOT_PERMITTED, str(error)) from error
