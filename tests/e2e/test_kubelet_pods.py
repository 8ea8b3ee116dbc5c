"""Pods on a real containerd: from spec to processes and back."""

from __future__ import annotations

from tests.nodes import real_node

from pinnace.api.resources import PODS

SLEEP = ["sleep", "1000"]


async def test_a_pod_starts_runs_and_goes() -> None:
    async with real_node() as node:
        await node.pod("web", {"containers": [{"name": "main", "command": SLEEP}]})
        status = (await node.wait_ready("web"))["status"]
        assert status["podIP"].startswith("10.231.0.")
        assert status["hostIP"] == "172.31.255.1"
        container = status["containerStatuses"][0]
        assert container["containerID"].startswith("containerd://")
        assert container["image"] == "docker.io/library/busybox:latest"
        assert await node.exec("web", "hostname") == "web\n"
        await node.client.delete(PODS, "web", "default")
        await node.wait_gone("web")
