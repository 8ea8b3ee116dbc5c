"""A real kubelet on a real containerd, against the API server's own pipeline, in a network namespace of its own."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import images, sysctls

from pinnace.api import builtin, meta
from pinnace.api.resources import EVENTS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from pinnace.apiserver.server import LOOPBACK, ApiServer, stamp
from pinnace.client.client import Client
from pinnace.core.clock import RealClock
from pinnace.kubelet.configuration import Configuration, of_a_shared_machine
from pinnace.kubelet.containerd import Containerd
from pinnace.kubelet.oci import OciRuntime
from pinnace.kubelet.part import Kubelet
from pinnace.kubelet.runtime.cri.runtime import CriRuntime
from pinnace.kubelet.volumes import mounts
from pinnace.network import cni
from pinnace.network.plugin.server import Plugins
from pinnace.store.open import open_store
from pinnace.store.protocol import Store

NODE_IP = "172.31.255.1"
POD_CIDR = "10.231.0.0/24"
PATIENCE = 40.0
CNI_BIN = Path("/usr/lib/cni")
_CLONE_NEWNET = 0x40000000


@contextmanager
def isolated_network() -> Iterator[None]:
    """This thread, and what it starts, in a network namespace of its own with one address."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot make a network namespace")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            subprocess.run(["ip", "addr", "add", f"{NODE_IP}/32", "dev", "lo"], check=True)
            sysctls.reset()
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            yield
        finally:
            if libc.setns(home, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot go back to the first network namespace")
    finally:
        os.close(home)


class Node:
    """One node and a client of its API server."""

    def __init__(self, directory: Path, configuration: Configuration) -> None:
        self.directory = directory
        self.configuration = replace(configuration, staticPodPath=str(directory / "manifests"))
        self.clock = RealClock()
        self.store: Store | None = None
        self.client: Client = None  # type: ignore[assignment]
        self._plugins = Plugins(directory / "p", CNI_BIN)
        #: What makes the containers; None for the best there is.
        self.oci: OciRuntime | None = None
        self.containerd = self._containerd()
        self.kubelet: Kubelet = None  # type: ignore[assignment]

    def _containerd(self) -> Containerd:
        directory = self.directory / "c"
        plugins = self._plugins.bin_dir
        return Containerd(directory, self.clock, cni_bin=plugins, cni_conf=directory / "cni", runtime=self.oci)

    async def start_api(self) -> None:
        self.store = await open_store("memory://", stamp=stamp, clock=self.clock)
        server = ApiServer(self.store, builtin.registry(), self.clock, tls=None, listen=())
        self.client = Client(server.transport(LOOPBACK))
        for name in ("default", "kube-node-lease"):
            await self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await self.client.create(SERVICE_ACCOUNTS, account)

    async def start_kubelet(self) -> None:
        """A kubelet, new or after ``kill``."""
        await self._plugins.start()
        self.containerd = self._containerd()
        cni.write(self.containerd.cni_conf, pod_cidr=POD_CIDR, mtu=cni.DEFAULT_MTU, ipam_dir=self.directory / "ipam")
        self.kubelet = Kubelet(
            self.client,
            self.clock,
            node_name="node",
            runtime=CriRuntime(str(self.containerd.socket), self.clock),
            root_dir=self.directory / "k",
            node_ip=NODE_IP,
            configuration=self.configuration,
            containerd=self.containerd,
        )
        await self.kubelet.start()

    async def kill_kubelet(self) -> None:
        """Stop the kubelet as a kill of its process would: containerd and containers are left behind."""
        pid, self.containerd._pid = self.containerd._pid, 0
        file = self.containerd.directory / "containerd.pid"
        text = file.read_text()
        file.unlink()
        await self.kubelet.stop()
        await self._plugins.stop()
        file.write_text(text)
        assert pid

    async def load(self, file: Path) -> list[str]:
        return await self.containerd.import_image(file)

    async def pod(self, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        containers = [{"imagePullPolicy": "IfNotPresent", "image": "busybox", **c} for c in spec["containers"]]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": {"nodeName": "node", "terminationGracePeriodSeconds": 1, **spec, "containers": containers},
        }
        return await self.client.create(PODS, body)

    async def get(self, name: str) -> dict[str, Any]:
        return await self.client.get(PODS, name, "default")

    async def events(self, name: str) -> list[tuple[str, str]]:
        listed = await self.client.list(EVENTS, "default")
        mine = [event for event in listed["items"] if event["involvedObject"]["name"] == name]
        return [(event["reason"], event["message"]) for event in mine]

    async def wait(
        self, name: str, what: Callable[[dict[str, Any]], Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        """The Pod once ``what(pod)`` is true of it."""
        deadline = time.monotonic() + patience
        while True:
            pod = await self.get(name)
            if what(pod):
                return pod
            assert time.monotonic() < deadline, json.dumps(pod["status"], indent=1) + str(await self.events(name))
            await asyncio.sleep(0.01)

    async def wait_told(self, name: str, text: str) -> None:
        """Until an event of the Pod says so."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in message for _, message in await self.events(name)):
            assert time.monotonic() < deadline, await self.events(name)
            await asyncio.sleep(0.01)

    async def wait_ready(self, name: str) -> dict[str, Any]:
        return await self.wait(name, lambda pod: meta.has_condition(pod, "Ready"))

    async def wait_phase(self, name: str, phase: str) -> dict[str, Any]:
        return await self.wait(name, lambda pod: pod["status"].get("phase") == phase)

    async def wait_gone(self, name: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while any(meta.name(pod) == name for pod in (await self.client.list(PODS, "default"))["items"]):
            assert time.monotonic() < deadline, json.dumps((await self.get(name))["status"], indent=1)
            await asyncio.sleep(0.01)

    async def exec(self, name: str, *command: str, container: str = "") -> str:
        """What a command in the Pod's container, by default its first, prints."""
        state = await self.kubelet.runtime.pod(meta.uid(await self.get(name)))
        chosen = (state.newest(container) if container else None) or state.containers[0]
        result = await self.kubelet.runtime.exec(chosen.id, command, PATIENCE)
        assert result.exit_code == 0, result
        return result.stdout.decode()

    async def log(self, name: str, container: str = "main", attempt: int = 0) -> str:
        pod = await self.get(name)
        directory = self.directory / "k" / "logs" / f"default_{name}_{meta.uid(pod)}"
        return (directory / container / f"{attempt}.log").read_text()

    async def clean_up(self) -> None:
        try:
            await self.kubelet.end_pods()
            for state in (await self.kubelet.runtime.pods()).values():
                for box in state.sandboxes:
                    await self.kubelet.runtime.remove_sandbox(box.id)
        finally:
            await self.kubelet.stop()
            await self._plugins.stop()
            if self.store is not None:
                await self.store.close()


@asynccontextmanager
async def real_node(configuration: Configuration | None = None) -> AsyncIterator[Node]:
    """A Ready node with busybox loaded; everything of it is gone afterwards, also after a failure."""
    directory = Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    node = Node(directory, configuration or of_a_shared_machine(""))
    try:
        with isolated_network():
            await node.start_api()
            await node.start_kubelet()
            try:
                await node.load(images.busybox(directory))
                deadline = time.monotonic() + PATIENCE
                while not meta.has_condition(await node.client.get(NODES, "node"), "Ready"):
                    assert time.monotonic() < deadline, await node.client.get(NODES, "node")
                    await asyncio.sleep(0.02)
                yield node
            finally:
                await node.clean_up()
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    for entry in Path("/proc").iterdir():  # shims that a failed test left: they name this directory
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(directory).encode() in command:
                os.kill(int(entry.name), signal.SIGKILL)
    for point in mounts.mounted_below(directory):
        mounts.unmount(point)
    shutil.rmtree(directory)
