"""The metrics API from what kubelets say, in virtual time; the kubelets are played by the test."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from pinnace.addons.metrics import usage
from pinnace.addons.metrics.resources import cells, rows
from pinnace.addons.metrics.server import APART, MetricsServer
from pinnace.api.errors import ApiError, not_found
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.core.clock import VirtualClock


def measured(cpu: int | None, memory: int = 1 << 20) -> Object:
    found: Object = {"cpu": {"usageCoreNanoSeconds": 5}, "memory": {"workingSetBytes": memory}}
    if cpu is not None:
        found["cpu"]["usageNanoCores"] = cpu
    return found


def summary(node: str, cpu: int | None, *containers: tuple[str, int | None]) -> Object:
    """Of a node with one Pod, whose UID is ``node``'s name."""
    pod = {
        "podRef": {"name": f"on-{node}", "namespace": "default", "uid": node},
        "containers": [{"name": name, **measured(used)} for name, used in containers],
    }
    return {"node": {"nodeName": node, **measured(cpu, 3000)}, "pods": [pod]}


def node(name: str, *, ready: bool = True, simulated: bool = False) -> Object:
    status = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    annotations = {"pinnace.dev/simulated": "true"} if simulated else {}
    return {"metadata": {"name": name, "labels": {"zone": "a"}, "annotations": annotations}, "status": status}


def pod(on: str) -> Object:
    metadata = {"name": f"on-{on}", "namespace": "default", "uid": on, "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"nodeName": on}}


class Kubelets:
    """Plays the client: ``answers`` are the summaries by path, or what makes them or raises."""

    def __init__(self, *nodes: Object) -> None:
        self.nodes = nodes
        self.answers: dict[str, Callable[[], Object]] = {}
        self.asked: list[str] = []

    def says(self, name: str, *found: Object, path: str = "summary") -> None:
        """One after the other, the last one for ever."""
        left = list(found)
        self.answers[f"/api/v1/nodes/{name}/proxy/stats/{path}"] = lambda: left.pop(0) if len(left) > 1 else left[0]

    async def list(
        self, gvr: GVR, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Object:
        wanted = field_selector.partition("=")[2]
        if gvr.resource == "pods":
            return {"items": [pod(found["metadata"]["name"]) for found in self.nodes]}
        return {"items": [found for found in self.nodes if wanted in ("", found["metadata"]["name"])]}

    async def get(self, gvr: GVR, name: str, namespace: str = "") -> Object:
        for found in (await self.list(gvr))["items"]:
            if found["metadata"]["name"] == name:
                return cast(Object, found)
        raise not_found("", gvr.resource, name)

    async def read(self, path: str) -> bytes:
        self.asked.append(path.removeprefix("/api/v1/nodes/").removesuffix("/stats/summary").removesuffix("/proxy"))
        await asyncio.sleep(0)
        return orjson.dumps(self.answers[path]())


def serve(*nodes: Object) -> tuple[MetricsServer, Kubelets, VirtualClock]:
    clock, kubelets = VirtualClock(), Kubelets(*nodes)
    return MetricsServer(cast(Client, kubelets), clock), kubelets, clock


async def listed(server: MetricsServer, plural: str) -> list[tuple[str, Any]]:
    found = await server.list(plural, "", "", "")
    return [(obj["metadata"]["name"], obj.get("usage") or obj["containers"]) for obj in found]


def test_amounts_are_written_as_metrics_server_writes_them():
    assert usage.Used(1_500_000, 3 << 20).shown() == {"cpu": "1500000n", "memory": "3072Ki"}
    assert usage.Used(0, 0).shown() == {"cpu": "0", "memory": "0"}
    assert usage.Used(7, 1000).shown() == {"cpu": "7n", "memory": "1000"}


def test_a_table_row_of_a_pod_sums_its_containers():
    one, two = usage.Used(1_000_000, 1 << 20).shown(), usage.Used(2_000_000, 1 << 20).shown()
    obj = {"metadata": {"name": "web"}, "window": "15s", "containers": [{"usage": one}, {"usage": two}]}
    assert cells(obj) == ["web", "3m", "2Mi", "15s"]
    assert [(row.plural, row.kind, row.namespaced) for row in rows()] == [
        ("nodes", "NodeMetrics", False),
        ("pods", "PodMetrics", True),
    ]


async def test_each_kubelet_is_asked_once_for_all_who_ask_at_the_same_time():
    server, kubelets, _ = serve(node("b"), node("a"))
    for name in "ab":
        kubelets.says(name, summary(name, 5, ("main", 7)))
    nodes, pods = await asyncio.gather(listed(server, "nodes"), listed(server, "pods"))
    assert nodes == [("a", {"cpu": "5n", "memory": "3000"}), ("b", {"cpu": "5n", "memory": "3000"})]
    assert [name for name, _ in pods] == ["on-a", "on-b"]
    assert pods[0][1] == [{"name": "main", "usage": {"cpu": "7n", "memory": "1024Ki"}}]
    assert sorted(kubelets.asked) == ["a", "b"]
    (first, *_) = await server.list("pods", "", "", "")
    assert first["metadata"]["labels"] == {"app": "web"}
    assert first["window"] == "1s"


async def test_one_that_cannot_say_yet_is_asked_again_a_second_later():
    server, kubelets, clock = serve(node("a"))
    kubelets.says("a", summary("a", None, ("main", None)), summary("a", 5, ("main", 7)))
    asking = asyncio.create_task(server.get("pods", "default", "on-a"))
    await clock.advance(APART - 0.1)
    assert not asking.done()
    await clock.advance(0.1)
    answer = await asking
    assert answer["containers"] == [{"name": "main", "usage": {"cpu": "7n", "memory": "1024Ki"}}]
    assert answer["window"] == "1.05s"
    await clock.advance(20)
    assert (await server.get("pods", "default", "on-a"))["window"] == "20s"


async def test_what_is_not_measured_is_not_there_and_what_is_not_there_is_said():
    server, kubelets, clock = serve(node("a"), node("away", ready=False))
    kubelets.says("a", summary("a", 5, ("main", 5), ("other", None)))
    for what, message in (
        (("pods", "default", "on-a"), 'podmetrics.metrics.k8s.io "default/on-a" not found'),
        (("nodes", "", "away"), 'nodemetrics.metrics.k8s.io "away" not found'),
        (("pods", "default", "none"), 'pods "none" not found'),
    ):
        asking = asyncio.create_task(server.get(*what))
        await clock.advance(2 * APART)
        with pytest.raises(ApiError) as missing:
            await asking
        assert (missing.value.code, str(missing.value)) == (404, message)


async def test_a_kubelet_that_fails_is_left_out_and_the_log_says_why(caplog: pytest.LogCaptureFixture):
    server, kubelets, _ = serve(node("a"), node("broken"), node("strange"))

    def fail() -> Object:
        raise ApiError(500, "InternalError", "error dialing backend")

    kubelets.says("a", summary("a", 5))
    kubelets.answers["/api/v1/nodes/broken/proxy/stats/summary"] = fail
    kubelets.says("strange", {"pods": []})
    with caplog.at_level(logging.WARNING):
        assert [name for name, _ in await listed(server, "nodes")] == ["a"]
    assert "node broken does not tell what it uses: error dialing backend" in caplog.text
    assert "node strange answers /api/v1/nodes/strange/proxy/stats/summary with what is none" in caplog.text


async def test_simulated_nodes_are_asked_together():
    server, kubelets, _ = serve(node("a", simulated=True), node("b", simulated=True), node("real"))
    kubelets.says("b", {"items": [summary("a", 1), summary("b", 2)]}, path="summaries")
    kubelets.says("real", summary("real", 3))
    assert [usage["cpu"] for _, usage in await listed(server, "nodes")] == ["1n", "2n", "3n"]
    assert len(kubelets.asked) == 2


async def test_who_still_waits_at_the_end_gets_no_answer():
    server, kubelets, clock = serve(node("a"))
    kubelets.says("a", summary("a", None))
    asking = asyncio.create_task(server.list("nodes", "", "", ""))
    await clock.advance(0.5)
    await server.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
