"""The kubelet's own server: logs and streams of real containers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.nodes import NODE_IP, Node, real_node

from pinnace.api.resources import PODS
from pinnace.kubelet.pods import manager
from pinnace.kubelet.server.server import KubeletServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Served:
    def __init__(self, node: Node, port: int) -> None:
        self.node = node
        self.port = port

    async def ask(self, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body; a chunked body is put together."""
        reader, writer = await asyncio.open_connection(NODE_IP, self.port)
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"chunked" in head:
            whole, rest = b"", body
            while rest:
                size, _, rest = rest.partition(b"\r\n")
                whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            body = whole
        return int(head.split()[1]), body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    async with real_node() as node:
        server = KubeletServer(lambda: [node.kubelet.manager], node.clock, None, None)
        port = await server.listen(NODE_IP, 0)
        try:
            yield Served(node, port)
        finally:
            await server.stop()


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "command": ["sh", "-c", script], **more}]}


async def test_logs(served: Served) -> None:
    await served.node.pod("talks", shell("echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; sleep 1000"))
    await served.node.wait_ready("talks")
    await asyncio.sleep(0.6)
    path = "/containerLogs/default/talks/main"
    assert await served.ask(path) == (200, b"one\ntwo\nthree\n")
    assert await served.ask(f"{path}?tailLines=1") == (200, b"three\n")
    assert await served.ask(f"{path}?limitBytes=5") == (200, b"one\nt")
    status, body = await served.ask(f"{path}?timestamps=true&tailLines=1")
    assert status == 200 and body.startswith(b"20") and body.endswith(b"Z three\n")
    message = b'previous terminated container "main" in pod "talks" not found\n'
    assert await served.ask(f"{path}?previous=true") == (400, message)
    assert (await served.ask("/containerLogs/default/talks/other"))[0] == 404
    assert (await served.ask("/containerLogs/default/nobody/main"))[0] == 404
    assert (await served.ask(f"{path}?tailLines=x"))[0] == 400


async def test_logs_are_followed_to_the_end(served: Served) -> None:
    script = "for n in 1 2 3; do echo $n; sleep 0.3; done"
    await served.node.pod("counts", {**shell(script), "restartPolicy": "Never"})
    await served.node.wait("counts", lambda pod: pod["status"].get("phase") == "Running")
    assert await served.ask("/containerLogs/default/counts/main?follow=true") == (200, b"1\n2\n3\n")


async def test_logs_of_the_container_before(served: Served) -> None:
    await served.node.pod("again", shell("echo run; exit 1"))
    await served.node.wait(
        "again",
        lambda pod: (
            "waiting" in pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
            and pod["status"]["containerStatuses"][0]["restartCount"] == 1
        ),
    )
    assert await served.ask("/containerLogs/default/again/main?previous=true") == (200, b"run\n")


async def test_logs_of_a_container_that_waits(served: Served) -> None:
    await served.node.pod("waits", shell("true", image="127.0.0.1:9/none:1", imagePullPolicy="Always"))
    await served.node.wait(
        "waits", lambda pod: "ErrImagePull" in json.dumps(pod["status"].get("containerStatuses", ""))
    )
    status, body = await served.ask("/containerLogs/default/waits/main")
    assert status == 400
    assert body.startswith(b'container "main" in pod "waits" is waiting to start: ')


async def test_exec_over_websocket(served: Served) -> None:
    await served.node.pod("shell", shell("sleep 1000"))
    await served.node.wait_ready("shell")
    reader, writer = await asyncio.open_connection(NODE_IP, served.port)
    query = "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+4&output=1&error=1"
    lines = [
        f"GET /exec/default/shell/main?{query} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: v4.channel.k8s.io",
        "",
        "",
    ]
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    channels: dict[int, bytes] = {}
    while True:
        first, length = await reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        payload = await reader.readexactly(length)
        if first & 15 == 8:
            break
        channels[payload[0]] = channels.get(payload[0], b"") + payload[1:]
    writer.close()
    assert (channels[1], channels[2]) == (b"out\n", b"err\n")
    status = json.loads(channels[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]


async def test_facts_and_errors(served: Served) -> None:
    assert await served.ask("/healthz") == (200, b"ok")
    status, body = await served.ask("/pods")
    assert status == 200 and "shell" in [pod["metadata"]["name"] for pod in json.loads(body)["items"]]
    status, body = await served.ask("/stats/summary")
    (pod,) = [pod for pod in json.loads(body)["pods"] if pod["podRef"]["name"] == "shell"]
    assert pod["containers"][0]["memory"]["workingSetBytes"] > 0
    assert pod["memory"]["workingSetBytes"] >= pod["containers"][0]["memory"]["workingSetBytes"]
    node = json.loads(body)["node"]
    assert node["memory"]["availableBytes"] > 0 and node["fs"]["capacityBytes"] > node["fs"]["availableBytes"] > 0
    status, body = await served.ask("/configz")
    assert status == 200 and json.loads(body)["kubeletconfig"]["imageGCHighThresholdPercent"] == 85
    assert (await served.ask("/nothing"))[0] == 404
    assert (await served.ask("/healthz", "no colon here"))[0] == 400


async def test_metrics(served: Served) -> None:
    await served.node.pod("busy", shell("while :; do :; done", resources={"limits": {"cpu": "100m"}}))
    await served.node.wait_ready("busy")
    labels = 'container="main",namespace="default",pod="busy"'
    status, body = await served.ask("/metrics/resource")
    lines = dict(line.split(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
    assert status == 200
    assert lines["scrape_error"] == "0"
    assert float(lines["node_cpu_usage_seconds_total"].split()[0]) > 0
    assert float(lines["node_memory_working_set_bytes"].split()[0]) > 1 << 20
    assert float(lines[f"container_memory_working_set_bytes{{{labels}}}"].split()[0]) > 4096
    assert float(lines[f"container_start_time_seconds{{{labels}}}"]) > 1.7e9
    seconds, stamp = lines[f"container_cpu_usage_seconds_total{{{labels}}}"].split()
    assert float(seconds) > 0 and int(stamp) > 1.7e12
    assert float(lines['pod_cpu_usage_seconds_total{namespace="default",pod="busy"}'].split()[0]) >= float(seconds)
    assert "# TYPE container_cpu_usage_seconds_total counter\n" in body.decode()
    status, body = await served.ask("/metrics")
    assert status == 200 and 'kubelet_running_containers{container_state="running"}' in body.decode()
    await served.node.client.delete(PODS, "busy", "default", grace_period_seconds=0)


async def test_health_on_a_port_of_its_own(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", 10248)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nok")


async def test_full_logs_are_rotated(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "RELIST", 0.2)
    monkeypatch.setattr(served.node.kubelet.manager, "log_limit", 2000)
    pod = await served.node.pod("fills", shell("n=0; while :; do n=$((n+1)); echo line-$n; sleep 0.01; done"))
    await served.node.wait_ready("fills")
    following = asyncio.create_task(served.ask("/containerLogs/default/fills/main?follow=true"))
    directory = served.node.directory / "k/logs" / f"default_fills_{pod['metadata']['uid']}" / "main"
    deadline = asyncio.get_running_loop().time() + 20
    while len(list(directory.iterdir())) < 3:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
    await served.node.client.delete(PODS, "fills", "default")
    _, body = await following
    numbers = [int(line.removeprefix(b"line-")) for line in body.split()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no line is lost where the file changes"
    assert len(numbers) > 100
