"""What this machine has of what a real node needs: root, containerd, an OCI runtime, CNI plugins, nftables."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CNI_DIRECTORIES = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
CNI_PLUGINS = ("ptp", "host-local", "loopback")


class Machine(NamedTuple):
    """``missing`` names what a real node would need besides, in words; empty if it has everything."""

    containerd: Path | None
    cni_bin: Path | None
    missing: tuple[str, ...]


def inspect() -> Machine:
    import ctypes
    import shutil

    missing: list[str] = []
    if os.geteuid() != 0:
        missing.append("root")
    containerd = shutil.which("containerd")
    if containerd is None:
        missing.append("containerd")
    if shutil.which("runc") is None and shutil.which("crun") is None:
        missing.append("runc")
    cni = next((d for d in CNI_DIRECTORIES if all((d / plugin).exists() for plugin in CNI_PLUGINS)), None)
    if cni is None:
        missing.append(f"CNI plugins ({', '.join(CNI_PLUGINS)})")
    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError:
        missing.append("nftables")
    return Machine(Path(containerd) if containerd else None, cni, tuple(missing))


def what_to_do(missing: Sequence[str]) -> str:
    """How to get what is ``missing``, in half a line."""
    components = [name for name in missing if name != "root"]
    steps = ["be root"] if "root" in missing else []
    if components:
        steps.append(f"install {', '.join(components)} (hack/install-components)")
    return ", ".join(steps)


def node_name() -> str:
    """The host's name as a node's: lower case, a DNS subdomain."""
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname().lower())
    return name.strip("-.") or "node"


def primary_address() -> str:
    """The IPv4 address this machine is reached at by others: the source of its default route, else loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; TEST-NET-1 stands for anywhere
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
