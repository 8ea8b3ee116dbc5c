"""DaemonSets against a real API server; the tests play scheduler and kubelet."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.resources import DAEMON_SETS, NODES, PODS
from pinnace.api.types import Object
from pinnace.controllers import daemons
from pinnace.controllers.revisions import CONTROLLER_REVISIONS

Cluster = Any


def daemon_set(image: str = "agent:1", **spec: Any) -> Object:
    labels = {"app": "agent"}
    pod = {"containers": [{"name": "main", "image": image}], **spec.pop("pod", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


async def nodes_with_pods(cluster: Cluster) -> dict[str, str]:
    """Node -> image of the Pod meant for it, of Pods that are not being deleted."""
    pods = [pod for pod in await cluster.list(PODS) if not meta.is_deleting(pod)]
    return {daemons.target_node(pod): pod["spec"]["containers"][0]["image"] for pod in pods}


async def run(cluster: Cluster) -> None:
    await cluster.make_ready()
    await cluster.settle()


async def test_one_pod_on_every_node_also_on_new_ones(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    await cluster.create(DAEMON_SETS, daemon_set())
    await cluster.settle()
    assert set(await nodes_with_pods(cluster)) == {"n1", "n2"}
    await run(cluster)
    await cluster.add_node("n3")
    await cluster.settle()
    await run(cluster)
    assert set(await nodes_with_pods(cluster)) == {"n1", "n2", "n3"}
    status = (await cluster.get(DAEMON_SETS, "agent"))["status"]
    assert status == {
        "currentNumberScheduled": 3,
        "desiredNumberScheduled": 3,
        "numberAvailable": 3,
        "numberMisscheduled": 0,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
    }
    pod = (await cluster.list(PODS))[0]
    tolerated = {toleration["key"].rpartition("/")[2] for toleration in pod["spec"]["tolerations"]}
    assert {
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
    } <= tolerated
    assert len(await cluster.list(CONTROLLER_REVISIONS)) == 1


async def test_node_selector_and_taints_decide(cluster: Cluster) -> None:
    await cluster.add_node("n1", labels={"disk": "ssd"})
    await cluster.add_node("n2")
    await cluster.create(DAEMON_SETS, daemon_set(pod={"nodeSelector": {"disk": "ssd"}}))
    await cluster.settle()
    assert set(await nodes_with_pods(cluster)) == {"n1"}
    await cluster.patch(NODES, "n2", {"metadata": {"labels": {"disk": "ssd"}}}, "")
    await cluster.settle()
    assert set(await nodes_with_pods(cluster)) == {"n1", "n2"}
    await cluster.patch(NODES, "n2", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
    await cluster.settle()
    assert set(await nodes_with_pods(cluster)) == {"n1"}


async def test_a_rolling_update_one_node_at_a_time_and_back(cluster: Cluster) -> None:
    for name in ("n1", "n2", "n3"):
        await cluster.add_node(name)
    await cluster.create(DAEMON_SETS, daemon_set())
    await cluster.settle()
    await run(cluster)
    change = daemon_set("agent:2")["spec"]["template"]
    await cluster.patch(DAEMON_SETS, "agent", {"spec": {"template": change}})
    for _ in range(6):
        await cluster.settle()
        ready = [pod for pod in await cluster.list(PODS) if meta.has_condition(pod, "Ready")]
        assert len(ready) >= 2
        await run(cluster)
    assert set((await nodes_with_pods(cluster)).values()) == {"agent:2"}
    assert (await cluster.get(DAEMON_SETS, "agent"))["status"]["updatedNumberScheduled"] == 3
    revisions = sorted(r["revision"] for r in await cluster.list(CONTROLLER_REVISIONS))
    assert revisions == [1, 2]
    await cluster.patch(DAEMON_SETS, "agent", {"spec": {"template": daemon_set("agent:1")["spec"]["template"]}})
    await cluster.settle()
    assert sorted(r["revision"] for r in await cluster.list(CONTROLLER_REVISIONS)) == [2, 3]


async def test_a_surging_update_starts_the_new_pod_first(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await cluster.create(DAEMON_SETS, daemon_set(updateStrategy=strategy))
    await cluster.settle()
    await run(cluster)
    await cluster.patch(DAEMON_SETS, "agent", {"spec": {"template": daemon_set("agent:2")["spec"]["template"]}})
    await cluster.settle()
    assert len(await cluster.list(PODS)) == 2
    await run(cluster)
    await run(cluster)
    assert await nodes_with_pods(cluster) == {"n1": "agent:2"}
    assert len(await cluster.list(PODS)) == 1


async def test_on_delete_waits_for_someone_to_delete(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.create(DAEMON_SETS, daemon_set(updateStrategy={"type": "OnDelete"}))
    await cluster.settle()
    await run(cluster)
    await cluster.patch(DAEMON_SETS, "agent", {"spec": {"template": daemon_set("agent:2")["spec"]["template"]}})
    await cluster.settle(10)
    assert await nodes_with_pods(cluster) == {"n1": "agent:1"}
    (pod,) = await cluster.list(PODS)
    await cluster.client.delete(PODS, meta.name(pod), "default", grace_period_seconds=0)
    await cluster.settle()
    assert await nodes_with_pods(cluster) == {"n1": "agent:2"}


async def test_a_pod_that_failed_is_replaced(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.create(DAEMON_SETS, daemon_set())
    await cluster.settle()
    (pod,) = await cluster.list(PODS)
    await cluster.set_status(pod, phase="Failed")
    await cluster.settle()
    (other,) = await cluster.list(PODS)
    assert meta.uid(other) != meta.uid(pod)
    reasons = [reason for reason, _ in await cluster.events("agent")]
    assert reasons == ["SuccessfulCreate", "FailedDaemonPod", "SuccessfulDelete", "SuccessfulCreate"]


async def test_adoption(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    made = await cluster.create(DAEMON_SETS, daemon_set())
    await cluster.settle()
    (pod,) = await cluster.list(PODS)
    await cluster.patch(PODS, meta.name(pod), {"metadata": {"ownerReferences": None}})
    await cluster.settle()
    assert [meta.controller_of(one) for one in await cluster.list(PODS)] == [meta.owner_reference(made)]
