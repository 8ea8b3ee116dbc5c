"""The machine shuts down: Pods end in good order, and a mere stop of the kubelet is no shutdown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.nodes import real_node

from pinnace.api import meta
from pinnace.api.resources import NODES
from pinnace.core.clock import parse_timestamp
from pinnace.kubelet.configuration import of_a_shared_machine

SIGNAL = '{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}'
#: Takes a second to end.
SLOW = ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"]


async def test_pods_end_by_priority_when_the_machine_shuts_down(tmp_path: Path) -> None:
    chosen = replace(of_a_shared_machine(""), shutdownGracePeriod=10.0, shutdownGracePeriodCriticalPods=5.0)
    async with real_node(chosen) as node:
        container = {"name": "main", "command": SLOW}
        spec = {"terminationGracePeriodSeconds": 20, "containers": [container]}
        await node.pod("plain", spec)
        await node.pod("vital", {**spec, "priority": 2_000_000_000})
        await node.pod("done", {"restartPolicy": "Never", "containers": [{**container, "command": ["true"]}]})
        before = await node.wait_ready("plain")
        await node.wait_ready("vital")
        await node.wait_phase("done", "Succeeded")

        await node.kill_kubelet()
        await node.start_kubelet()
        again = await node.get("plain")
        assert again["status"]["containerStatuses"] == before["status"]["containerStatuses"], "that was no shutdown"

        busctl = tmp_path / "busctl"
        busctl.write_text(f"#!/bin/sh\necho '{SIGNAL}'\nexec sleep 1000\n")
        busctl.chmod(0o755)
        await node.kubelet.shutdown.listen([str(busctl)])
        ended = {}
        for name in ("plain", "vital"):
            status = (await node.get(name))["status"]
            text = "Pod was terminated in response to imminent node shutdown."
            assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Terminated", text)
            target = meta.condition({"status": status}, "DisruptionTarget")
            assert target is not None and target["reason"] == "TerminationByKubelet"
            terminated = status["containerStatuses"][0]["state"]["terminated"]
            assert terminated["exitCode"] == 0, "it had the time that it took to end by itself"
            ended[name] = terminated
        assert parse_timestamp(ended["vital"]["finishedAt"]) > parse_timestamp(ended["plain"]["finishedAt"])
        assert (await node.get("done"))["status"]["phase"] == "Succeeded"
        ready = meta.condition(await node.client.get(NODES, "node"), "Ready")
        assert ready is not None and (ready["status"], ready["message"]) == ("False", "node is shutting down")
        await node.pod("late", {"containers": [container]})
        status = (await node.wait_phase("late", "Failed"))["status"]
        text = "Pod was rejected: Pod was rejected as the node is shutting down."
        assert (status["reason"], status["message"]) == ("NodeShutdown", text)
