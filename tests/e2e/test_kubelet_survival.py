"""What outlives a kubelet, and what a containerd that dies or hides takes with it."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from pathlib import Path

import pytest
from tests.nodes import NODE_IP, Node, real_node

from pinnace.api import meta
from pinnace.api.resources import NODES, PODS
from pinnace.core.clock import RealClock
from pinnace.kubelet.containerd import Containerd, ContainerdFailed
from pinnace.kubelet.oci import ANNOTATION, OciRuntime

SLEEP = ["sleep", "1000"]


async def settled(node: Node, name: str, seconds: float = 1.0) -> dict[str, object]:
    await asyncio.sleep(seconds)
    return await node.get(name)


async def test_a_new_kubelet_goes_on_with_running_containers() -> None:
    async with real_node() as node:
        await node.pod("stays", {"containers": [{"name": "main", "command": SLEEP}]})
        await node.pod("goes", {"containers": [{"name": "main", "command": SLEEP}]})
        before = await node.wait_ready("stays")
        goes = await node.wait_ready("goes")
        pid = node.containerd._pid
        await node.kill_kubelet()
        await node.client.delete(PODS, "goes", "default", grace_period_seconds=0)
        await node.start_kubelet()
        assert node.containerd._pid == pid, "containerd was adopted, not started anew"
        after = await settled(node, "stays")
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]  # type: ignore[index]
        for _ in range(100):
            if meta.uid(goes) not in await node.kubelet.runtime.pods():
                break
            await asyncio.sleep(0.1)
        assert list(await node.kubelet.runtime.pods()) == [meta.uid(before)]
        await node.client.delete(PODS, "stays", "default")
        await node.wait_gone("stays")


async def test_containerd_is_started_again() -> None:
    async with real_node() as node:
        await node.pod("web", {"containers": [{"name": "main", "command": SLEEP}]})
        before = await node.wait_ready("web")
        pid = node.containerd._pid
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while node.containerd._pid == pid or node.kubelet.problem:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        await node.pod("more", {"containers": [{"name": "main", "command": SLEEP}]})
        await node.wait_ready("more")
        after = await node.get("web")
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]


async def test_the_host_network() -> None:
    async with real_node() as node:
        command = ["sh", "-c", f"mkdir -p /www; echo hi >/www/x; httpd -f -p {NODE_IP}:18081 -h /www"]
        probe = {"httpGet": {"path": "/x", "port": 18081}, "periodSeconds": 1}
        container = {"name": "main", "command": command, "readinessProbe": probe}
        await node.pod("net", {"hostNetwork": True, "containers": [container]})
        net = await node.wait_ready("net")
        assert net["status"]["podIP"] == NODE_IP
        assert await http(NODE_IP, 18081, "/x") == "hi\n"


async def http(host: str, port: int, path: str) -> str:
    for _ in range(50):
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return answer.partition("\r\n\r\n")[2]
    raise AssertionError(f"nothing listens on {host}:{port}")


async def test_many_pods_at_once() -> None:
    async with real_node() as node:
        times = []
        for number in range(10):
            began = time.monotonic()
            await node.pod(f"one-{number}", {"containers": [{"name": "main", "command": SLEEP}]})
            await node.wait_ready(f"one-{number}")
            times.append(time.monotonic() - began)
        began = time.monotonic()
        names = [f"many-{number}" for number in range(20)]
        for name in names:
            await node.pod(name, {"containers": [{"name": "main", "command": SLEEP}]})
        await asyncio.gather(*(node.wait_ready(name) for name in names))
        together = time.monotonic() - began
        assert statistics.median(times) < 5.0
        assert together < 30.0, "how long it should take is the benchmark's business"
        node_object = await node.client.get(NODES, "node")
        assert node_object["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://1.")


async def test_containers_keep_what_made_them_when_another_makes_the_next() -> None:
    async with real_node() as node:
        for number, name in enumerate(("crun", "runc", "crun")):
            if number:
                await node.kubelet.stop()  # and its containerd; the containers go on
                node.oci = OciRuntime(name, f"/usr/sbin/{name}") if name == "runc" else None
                await node.start_kubelet()
            told = (await node.client.get(NODES, "node"))["metadata"]["annotations"][ANNOTATION]
            assert told == name
            limit = {"limits": {"memory": "32Mi", "cpu": "100m"}}
            pod = f"pod-{number}"
            await node.pod(pod, {"containers": [{"name": "main", "command": SLEEP, "resources": limit}]})
            await node.wait_ready(pod)
            for earlier in range(number + 1):
                shown = await node.exec(f"pod-{earlier}", "sh", "-c", "hostname; grep Seccomp: /proc/1/status")
                assert shown.split() == [f"pod-{earlier}", "Seccomp:", "0"]
                status = (await node.get(f"pod-{earlier}"))["status"]["containerStatuses"][0]
                assert status["restartCount"] == 0 and "running" in status["state"]
        for number in range(3):
            await node.client.delete(PODS, f"pod-{number}", "default")
            await node.wait_gone(f"pod-{number}")


async def test_containerd_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "containerd"
    broken.write_text("#!/bin/sh\necho no such thing today >&2\nexit 3\n")
    broken.chmod(0o755)
    containerd = Containerd(
        tmp_path / "c", RealClock(), cni_bin=Path("/usr/lib/cni"), cni_conf=tmp_path / "cni", binary=broken
    )
    with pytest.raises(ContainerdFailed, match=r"containerd failed \(exit code 3\): no such thing today"):
        await containerd.start()
