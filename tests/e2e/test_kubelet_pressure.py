"""A node that runs short, and Pods that use more than they may."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from tests.nodes import PATIENCE, Node, real_node

from pinnace.api import meta
from pinnace.api.resources import NODES
from pinnace.kubelet.configuration import of_a_shared_machine

SLEEP = ["sleep", "1000"]


async def condition(node: Node, type: str) -> tuple[str, str]:
    found = meta.condition(await node.client.get(NODES, "node"), type)
    assert found is not None
    return found["status"], found["reason"]


async def test_pods_are_ended_when_the_node_runs_short_and_when_they_take_too_much() -> None:
    chosen = replace(of_a_shared_machine(""), evictionPressureTransitionPeriod=0.0)
    async with real_node(chosen) as node:
        pressure = node.kubelet.pressure
        fill = ["sh", "-c", "dd if=/dev/zero of=/scratch/x bs=1M count=3; sleep 1000"]
        mount = {"name": "scratch", "mountPath": "/scratch"}
        volume = {"name": "scratch", "emptyDir": {"sizeLimit": "2Mi"}}
        container = {"name": "main", "command": SLEEP}
        await node.pod(
            "fills", {"containers": [{**container, "command": fill, "volumeMounts": [mount]}], "volumes": [volume]}
        )
        await node.pod("modest", {"containers": [{**container, "resources": {"requests": {"memory": "64Mi"}}}]})
        await node.pod("plain", {"containers": [container], "terminationGracePeriodSeconds": 30})
        for name in ("fills", "modest", "plain"):
            await node.wait_ready(name)
        deadline = time.monotonic() + PATIENCE
        while "3+0 records out" not in await node.log("fills"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await pressure.look()  # or it has looked of itself
        status = (await node.wait_phase("fills", "Failed"))["status"]
        text = 'Usage of EmptyDir volume "scratch" exceeds the limit "2Mi". '
        assert (status["reason"], status["message"]) == ("Evicted", text)
        assert await condition(node, "MemoryPressure") == ("False", "KubeletHasSufficientMemory")

        node.configuration.evictionHard["memory.available"] = "100Ti"
        assert await pressure.look()
        assert await condition(node, "MemoryPressure") == ("True", "KubeletHasInsufficientMemory")
        status = (await node.wait_phase("plain", "Failed"))["status"]
        assert status["reason"] == "Evicted"
        assert status["message"].startswith(
            "The node was low on resource: memory. Threshold quantity: 100Ti, available: "
        )
        assert ", request is 0, has larger consumption of memory. " in status["message"]
        target = meta.condition({"status": status}, "DisruptionTarget")
        assert target is not None and (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
        assert ("Evicted", status["message"]) in await node.events("plain")
        assert ("EvictionThresholdMet", "Attempting to reclaim memory") in await node.events("node")
        assert meta.has_condition(await node.get("modest"), "Ready"), "it uses no more than it asked for"
        await node.pod("late", {"containers": [container]})
        status = (await node.wait_phase("late", "Failed"))["status"]
        text = "Pod was rejected: The node had condition: [MemoryPressure]. "
        assert (status["reason"], status["message"]) == ("Evicted", text)

        node.configuration.evictionHard["memory.available"] = "100Mi"
        assert not await pressure.look()
        assert await condition(node, "MemoryPressure") == ("False", "KubeletHasSufficientMemory")
        await node.pod("again", {"containers": [container]})
        await node.wait_ready("again")

        image = await node.kubelet.runtime.image("docker.io/library/busybox:latest")
        assert image is not None
        assert await node.kubelet.images.remove_unused() == 0, "it came from a file, and is in use"
        await node.kubelet.runtime.remove_image(image.id)
        assert await node.kubelet.runtime.image("docker.io/library/busybox:latest") is None
