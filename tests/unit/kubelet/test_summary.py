"""Rates out of counters, in virtual time; and what simulated containers seem to use."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pinnace.api import quantity
from pinnace.core.clock import VirtualClock
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.server.summary import Summary
from pinnace.kubelet.simulated_stats import amount
from pinnace.kubelet.stats import FileSystem, NodeUsage

DISK = FileSystem(100, 40)


class Node:
    """Stands for a manager without Pods, and its stats."""

    node_name = "n"

    def __init__(self) -> None:
        self.counter = 0
        self.stats = self

    def workers(self) -> list[Any]:
        return []

    def node(self) -> NodeUsage:
        return NodeUsage(self.counter, 1000, 600, DISK, DISK, 1, 2)


async def test_a_rate_is_of_the_last_second_to_minute():
    clock, node = VirtualClock(), Node()
    summary = Summary(clock)

    def rate() -> int | None:
        found = summary.of([cast(PodManager, node)])["node"]
        assert found["cpu"]["usageCoreNanoSeconds"] == node.counter
        assert found["memory"]["workingSetBytes"] == 400
        return cast("int | None", found["cpu"].get("usageNanoCores"))

    assert rate() is None
    await clock.advance(0.5)
    assert rate() is None, "half a second says little"
    node.counter = 3000
    await clock.advance(1.5)
    assert rate() == 1500
    node.counter = 9000
    assert rate() == 1500, "the same for whoever asks in the same second"
    await clock.advance(60)
    assert rate() == 100
    await clock.advance(61)
    assert rate() is None, "what is long ago says nothing of now"
    node.counter = 9500
    await clock.advance(1)
    assert rate() == 500


def pod(requests: dict[str, str], **annotations: str) -> Any:
    told = {f"pinnace.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    containers = [{"name": "main", "resources": {"requests": requests}}, {"name": "other"}]
    return {"metadata": {"name": "p", "annotations": told}, "spec": {"containers": containers}}


def test_a_simulated_container_uses_half_of_what_it_requests_or_what_its_pod_says():
    plain = pod({"cpu": "100m", "memory": "64Mi"})
    assert [str(amount(plain, "main", what)) for what in ("cpu", "memory")] == ["50m", "32Mi"]
    assert [str(amount(plain, "other", what)) for what in ("cpu", "memory")] == ["1m", "1Mi"]
    told = pod({"cpu": "100m"}, cpu_usage="2", **{"memory_usage.main": "1Gi"})
    assert [str(amount(told, "main", what)) for what in ("cpu", "memory")] == ["2", "1Gi"]
    assert [str(amount(told, "other", what)) for what in ("cpu", "memory")] == ["2", "1Mi"]
    with pytest.raises(quantity.QuantityError):
        amount(pod({}, cpu_usage="much"), "main", "cpu")
