"""Facts about this machine, as a node reports them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from pinnace import KUBERNETES_VERSION
from pinnace.api.types import Object

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
#: Pods that one node takes.
MAX_PODS = 110


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory`` and ``disk`` in bytes."""

    cpus: int
    memory: int
    disk: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    pods: int = MAX_PODS

    def capacity(self) -> dict[str, str]:
        return {
            "cpu": str(self.cpus),
            "ephemeral-storage": f"{self.disk // 1024}Ki",
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": f"{self.memory // 1024}Ki",
            "pods": str(self.pods),
        }

    def allocatable(self) -> dict[str, str]:
        """Less what evictions keep free: 100 MiB of memory, a tenth of the disk."""
        free = dict(self.capacity())
        free["memory"] = f"{max(self.memory - (100 << 20), 0) // 1024}Ki"
        free["ephemeral-storage"] = str(self.disk * 9 // 10)
        return free

    def node_info(self, runtime: str, runtime_version: str) -> Object:
        return {
            "machineID": self.machine_id,
            "systemUUID": self.system_uuid,
            "bootID": self.boot_id,
            "kernelVersion": self.kernel,
            "osImage": self.os_image,
            "containerRuntimeVersion": f"{runtime}://{runtime_version}",
            "kubeletVersion": KUBERNETES_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": self.architecture,
        }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:  # not every machine has it, and some only for root
        return ""


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.platform()


def inspect(root: Path, *, pods: int = MAX_PODS) -> Machine:
    """This machine; ``root`` is on the disk that counts."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    while not root.exists():
        root = root.parent
    disk = os.statvfs(root)
    machine_id = _read("/etc/machine-id")
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory,
        disk=disk.f_blocks * disk.f_frsize,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=machine_id,
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pods=pods,
    )
