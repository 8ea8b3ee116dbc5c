"""Simulated nodes against the API server's own pipeline, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pinnace.api import builtin, meta
from pinnace.api.resources import CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, NODES, PODS, SECRETS
from pinnace.apiserver.server import LOOPBACK, ApiServer, stamp
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.core.clock import VirtualClock
from pinnace.kubelet import machine
from pinnace.kubelet.simulated_nodes import SimulatedNodes
from pinnace.store.open import open_store


def make_part(client: Client, clock: VirtualClock, informers: Informers, nodes: int = 1) -> SimulatedNodes:
    names = [f"sim-{number}" for number in range(nodes)]
    return SimulatedNodes(client, clock, informers, names=names, machine=machine.inspect(Path("/")))


class World:
    def __init__(self, clock: VirtualClock, client: Client, informers: Informers, part: SimulatedNodes) -> None:
        self.part = part
        self.clock = clock
        self.client = client
        self.informers = informers

    async def pod(self, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        return await self.client.create(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", **metadata},
                "spec": {"nodeName": "sim-0", **spec},
            },
        )

    async def get(self, name: str) -> dict[str, Any]:
        return await self.client.get(PODS, name, "default")

    async def events(self) -> list[tuple[str, str]]:
        listed = await self.client.list(EVENTS, "default")
        return [(event["reason"], event["message"]) for event in listed["items"]]


@asynccontextmanager
async def world(nodes: int = 1) -> AsyncIterator[World]:
    clock = VirtualClock()
    store = await open_store("memory://", stamp=stamp, clock=clock)
    server = ApiServer(store, builtin.registry(), clock, tls=None, listen=())
    client = Client(server.transport(LOOPBACK))
    for namespace in ("default", "kube-node-lease"):
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    informers = Informers(client, clock)
    part = make_part(client, clock, informers, nodes)
    await part.start()
    there = World(clock, client, informers, part)
    try:
        yield there
    finally:
        await there.part.stop()
        await informers.stop()
        await store.close()


BUSYBOX = {"name": "main", "image": "busybox"}


async def test_nodes_register_and_keep_their_lease() -> None:
    async with world(3) as w:
        nodes = (await w.client.list(NODES))["items"]
        assert [meta.name(node) for node in nodes] == ["sim-0", "sim-1", "sim-2"]
        ready = meta.condition(nodes[0], "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"], ready["message"]) == (
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        )
        before = await w.client.get(LEASES, "sim-1", "kube-node-lease")
        await w.clock.advance(26)
        after = await w.client.get(LEASES, "sim-1", "kube-node-lease")
        assert after["spec"]["renewTime"] > before["spec"]["renewTime"]


async def test_pod_becomes_ready() -> None:
    async with world() as w:
        await w.pod("web", {"containers": [BUSYBOX]})
        await w.clock.advance(1)
        pod = await w.get("web")
        status = pod["status"]
        assert status["phase"] == "Running"
        assert meta.has_condition(pod, "Ready")
        assert status["podIP"].startswith("10.128.0."), "nobody gave the node a range"
        assert status["containerStatuses"][0]["state"]["running"]
        assert status["containerStatuses"][0]["started"] is True
        ready = meta.condition(pod, "Ready")
        assert ready is not None and "reason" not in ready and "message" not in ready, "nothing of before is left"
        assert "reason" not in status
        assert [c["type"] for c in status["conditions"]][:2] == ["PodReadyToStartContainers", "Initialized"]
        assert ("Started", "Container started") in await w.events()


async def test_addresses_come_from_the_node_s_range() -> None:
    async with world() as w:
        await w.client.patch(NODES, "sim-0", {"spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24"]}})
        await w.clock.advance(0)
        for name in ("a", "b"):
            await w.pod(name, {"containers": [BUSYBOX]})
        await w.clock.advance(1)
        assert {(await w.get(name))["status"]["podIP"] for name in ("a", "b")} == {"10.244.7.2", "10.244.7.3"}
        await w.client.delete(PODS, "a", "default", grace_period_seconds=0)
        await w.clock.advance(40)
        await w.pod("c", {"containers": [BUSYBOX]})
        await w.clock.advance(1)
        assert (await w.get("c"))["status"]["podIP"] in ("10.244.7.2", "10.244.7.3", "10.244.7.4")


async def five_minutes(w: World) -> None:
    """In steps that time does not hop over."""
    for _ in range(7):
        await w.clock.advance(43)


async def test_a_deleted_node_registers_again() -> None:
    async with world() as w:
        await w.client.delete(NODES, "sim-0")
        await five_minutes(w)
        node = await w.client.get(NODES, "sim-0")
        assert meta.has_condition(node, "Ready")


async def test_heartbeats_leave_what_others_set() -> None:
    async with world() as w:
        change = {"metadata": {"labels": {"disk": "ssd"}}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
        await w.client.patch(NODES, "sim-0", change)
        before = meta.condition(await w.client.get(NODES, "sim-0"), "Ready")
        await five_minutes(w)
        node = await w.client.get(NODES, "sim-0")
        after = meta.condition(node, "Ready")
        assert before is not None and after is not None
        assert after["lastHeartbeatTime"] > before["lastHeartbeatTime"]
        assert after["lastTransitionTime"] == before["lastTransitionTime"]
        assert meta.labels(node)["disk"] == "ssd"
        assert node["spec"]["taints"] == [{"key": "a", "effect": "NoSchedule"}]


async def test_deleted_pod_is_gone() -> None:
    async with world() as w:
        await w.pod("web", {"containers": [BUSYBOX]})
        await w.clock.advance(1)
        await w.client.delete(PODS, "web", "default")
        await w.clock.advance(1)
        assert (await w.client.list(PODS, "default"))["items"] == []
        assert ("Killing", "Stopping container main") in await w.events()


async def test_crash_loop_backs_off() -> None:
    async with world() as w:
        notes = {"pinnace.dev/exit-code": "3"}
        await w.pod("bad", {"containers": [BUSYBOX]}, annotations=notes)
        await w.clock.advance(1)
        pod = await w.get("bad")
        status = pod["status"]["containerStatuses"][0]
        identity = f"bad_default({meta.uid(pod)})"
        assert status["state"]["waiting"] == {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 10s restarting failed container=main pod={identity}",
        }
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["restartCount"] == 1
        await w.clock.advance(10)
        status = (await w.get("bad"))["status"]["containerStatuses"][0]
        assert status["restartCount"] == 2
        assert "back-off 20s" in status["state"]["waiting"]["message"]
        text = f"Back-off restarting failed container main in pod {identity}"
        assert ("BackOff", text) in await w.events()


async def test_job_like_pod_succeeds_and_fails() -> None:
    async with world() as w:
        spec = {"containers": [BUSYBOX], "restartPolicy": "Never"}
        await w.pod("good", spec, annotations={"pinnace.dev/run-for": "5s"})
        await w.pod("bad", spec, annotations={"pinnace.dev/exit-code": "1"})
        await w.clock.advance(3)
        assert (await w.get("good"))["status"]["phase"] == "Running"
        await w.clock.advance(3)
        good, bad = await w.get("good"), await w.get("bad")
        assert good["status"]["phase"] == "Succeeded"
        ready = meta.condition(good, "Ready")
        assert ready is not None and ready["reason"] == "PodCompleted"
        assert bad["status"]["phase"] == "Failed"
        assert bad["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error"


async def test_init_containers_run_in_order() -> None:
    async with world() as w:
        inits = [{"name": "first", "image": "busybox"}, {"name": "second", "image": "busybox"}]
        notes = {"pinnace.dev/run-for.first": "2s", "pinnace.dev/run-for.second": "2s"}
        await w.pod("web", {"initContainers": inits, "containers": [BUSYBOX]}, annotations=notes)
        await w.clock.advance(1)
        pod = await w.get("web")
        initialized = meta.condition(pod, "Initialized")
        assert initialized is not None
        assert initialized["message"] == "containers with incomplete status: [first second]"
        assert pod["status"]["phase"] == "Pending"
        assert pod["status"]["containerStatuses"][0]["state"]["waiting"] == {"reason": "PodInitializing"}
        await w.clock.advance(2)
        pod = await w.get("web")
        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
        await w.clock.advance(2)
        assert (await w.get("web"))["status"]["phase"] == "Running"


async def test_what_is_meant_to_end_does_without_being_told() -> None:
    async with world() as w:
        init = {"name": "first", "image": "busybox"}
        sidecar = {"name": "beside", "image": "busybox", "restartPolicy": "Always"}
        await w.pod("web", {"initContainers": [init, sidecar], "containers": [BUSYBOX]})
        await w.pod("task", {"initContainers": [init], "containers": [BUSYBOX], "restartPolicy": "OnFailure"})
        await w.pod(
            "stays",
            {"containers": [BUSYBOX], "restartPolicy": "Never"},
            annotations={"pinnace.dev/run-for": "forever"},
        )
        await w.clock.advance(0.5)
        assert (await w.get("task"))["status"]["phase"] == "Running"
        await w.clock.advance(60)
        assert (await w.get("task"))["status"]["phase"] == "Succeeded"
        for name in ("web", "stays"):
            assert meta.has_condition(await w.get(name), "Ready")


async def test_pods_outlive_their_process() -> None:
    async with world() as w:
        notes = {"pinnace.dev/run-for.main": "100s"}
        await w.pod("web", {"containers": [BUSYBOX], "restartPolicy": "Never"}, annotations=notes)
        await w.pod("loops", {"containers": [BUSYBOX]}, annotations={"pinnace.dev/exit-code": "3"})
        await w.clock.advance(5)
        before, looping = await w.get("web"), await w.get("loops")
        await w.part.stop()
        await w.clock.advance(1)
        w.part = make_part(w.client, w.clock, w.informers)
        await w.part.start()
        await w.clock.advance(1)
        after = await w.get("web")
        assert after["status"] == before["status"]
        again = await w.get("loops")
        assert again["status"]["containerStatuses"][0]["restartCount"] > 0
        assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
        assert again["status"]["podIP"] == looping["status"]["podIP"]
        await w.pod("new", {"containers": [BUSYBOX]})
        await w.clock.advance(2)
        taken = {pod["status"]["podIP"] for pod in (after, again, await w.get("new"))}
        assert len(taken) == 3
        await w.clock.advance(100)
        assert (await w.get("web"))["status"]["phase"] == "Succeeded"


async def test_many_pods_on_many_nodes() -> None:
    async with world(50) as w:
        await asyncio.gather(
            *(w.pod(f"p-{n}", {"containers": [BUSYBOX], "nodeName": f"sim-{n % 50}"}) for n in range(200))
        )
        await w.clock.advance(1)
        pods = (await w.client.list(PODS, "default"))["items"]
        assert all(meta.has_condition(pod, "Ready") for pod in pods)
        addresses = {(pod["spec"]["nodeName"], pod["status"]["podIP"]) for pod in pods}
        assert len(addresses) == 200


async def test_what_a_pod_is_made_of_has_to_be_there() -> None:
    async with world() as w:
        reference = {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}}
        await w.pod("told", {"containers": [{**BUSYBOX, "env": [reference]}]})
        mounted = {"name": "keys", "secret": {"secretName": "keys"}}
        await w.pod("holds", {"containers": [BUSYBOX], "volumes": [mounted]})
        optional = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x", "optional": True}}}
        await w.pod("free", {"containers": [{**BUSYBOX, "env": [optional]}]})
        await w.clock.advance(5)
        state = (await w.get("told"))["status"]["containerStatuses"][0]["state"]["waiting"]
        assert state == {"reason": "CreateContainerConfigError", "message": 'configmap "settings" not found'}
        assert (await w.get("holds"))["status"]["phase"] == "Pending"
        text = 'MountVolume.SetUp failed for volume "keys" : secret "keys" not found'
        assert ("FailedMount", text) in await w.events()
        assert meta.has_condition(await w.get("free"), "Ready")
        named = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"color": "red"}}
        await w.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **named})
        named = {"metadata": {"name": "keys", "namespace": "default"}, "data": {}}
        await w.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", **named})
        await w.clock.advance(60)
        for name in ("told", "holds"):
            assert meta.has_condition(await w.get(name), "Ready")


def _ready(pod: dict[str, Any]) -> bool:
    return meta.has_condition(pod, "Ready")


async def test_probes_take_the_time_that_they_take():
    probe = {"httpGet": {"port": 80}, "initialDelaySeconds": 30, "periodSeconds": 5}
    spec = {"containers": [{"name": "main", "image": "web", "readinessProbe": {**probe, "successThreshold": 2}}]}
    async with world() as there:
        await there.pod("web", spec)
        await there.clock.advance(34)
        assert not _ready(await there.get("web"))
        await there.clock.advance(2)
        assert _ready(await there.get("web"))


async def test_a_startup_probe_holds_back_the_others():
    startup = {"exec": {"command": ["true"]}, "initialDelaySeconds": 20}
    container = {"name": "main", "image": "web", "startupProbe": startup, "readinessProbe": {"tcpSocket": {"port": 80}}}
    async with world() as there:
        await there.pod("web", {"containers": [container]})
        await there.clock.advance(19)
        (status,) = (await there.get("web"))["status"]["containerStatuses"]
        assert (status["started"], status["ready"]) == (False, False)
        await there.clock.advance(12)
        (status,) = (await there.get("web"))["status"]["containerStatuses"]
        assert (status["started"], status["ready"]) == (True, True)


async def test_a_probe_fails_while_the_annotation_says_so():
    probe = {"httpGet": {"port": 80}, "periodSeconds": 10, "failureThreshold": 3}
    async with world() as there:
        await there.pod("web", {"containers": [{"name": "main", "image": "web", "readinessProbe": probe}]})
        await there.clock.advance(3)
        assert _ready(await there.get("web"))
        change = {"metadata": {"annotations": {"pinnace.dev/readiness": "fail"}}}
        await there.client.patch(PODS, "web", change, "default")
        await there.clock.advance(15)
        assert _ready(await there.get("web")), "it takes three failures"
        await there.clock.advance(15)
        assert not _ready(await there.get("web"))
        assert ("Unhealthy", "Readiness probe failed: the Pod's annotation says so") in await there.events()
        await there.client.patch(PODS, "web", {"metadata": {"annotations": None}}, "default")
        await there.clock.advance(11)
        assert _ready(await there.get("web"))


async def test_a_container_that_is_not_alive_is_restarted():
    probe = {"httpGet": {"port": 80}, "periodSeconds": 10, "failureThreshold": 2}
    spec = {"containers": [{"name": "main", "image": "web", "livenessProbe": probe}, {"name": "other", "image": "web"}]}
    async with world() as there:
        await there.pod("web", spec, annotations={"pinnace.dev/liveness.main": "fail"})
        await there.clock.advance(60)
        restarts = {
            status["name"]: status["restartCount"] for status in (await there.get("web"))["status"]["containerStatuses"]
        }
        assert restarts["main"] >= 1
        assert restarts["other"] == 0


async def test_probes_that_pass_cost_nothing():
    probes = {"livenessProbe": {"tcpSocket": {"port": 80}}, "readinessProbe": {"tcpSocket": {"port": 80}}}
    async with world() as there:
        await there.pod("web", {"containers": [{"name": "main", "image": "web", **probes}]})
        await there.clock.advance(5)
        assert _ready(await there.get("web"))
        before = there.clock.fired
        await there.clock.advance(600)
        assert there.clock.fired - before < 60
