"""The CNI configuration of a node: point-to-point links, addresses from the node's range."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE = "10-pinnace.conflist"
DEFAULT_MTU = 1500


def conflist(*, pod_cidr: str, mtu: int, ipam_dir: Path) -> dict[str, Any]:
    """The network list for ``pod_cidr``. Pods' packets keep their address: the proxy's rules hide them where they
    leave the cluster, and lead host ports to them."""
    ipam = {
        "type": "host-local",
        "dataDir": str(ipam_dir),
        "ranges": [[{"subnet": pod_cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pinnace",
        "plugins": [{"type": "ptp", "mtu": mtu, "ipMasq": False, "ipam": ipam}],
    }


def write(conf_dir: Path, *, pod_cidr: str, mtu: int, ipam_dir: Path) -> bool:
    """Put the configuration in place in one step, unless it is there; whether it was not. Blocks on the disk for a
    moment. Raises OSError."""
    wanted = json.dumps(conflist(pod_cidr=pod_cidr, mtu=mtu, ipam_dir=ipam_dir), indent=2) + "\n"
    conf_dir.mkdir(parents=True, exist_ok=True)
    path = conf_dir / FILE
    if path.exists() and path.read_text() == wanted:
        return False
    fresh = conf_dir / f".{FILE}.new"
    fresh.write_text(wanted)
    os.replace(fresh, path)
    return True
