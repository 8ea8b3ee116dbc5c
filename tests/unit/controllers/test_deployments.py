"""Deployments and ReplicaSets against a real API server; the tests play the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from pinnace.api.types import GVR, Object
from pinnace.controllers import rollout

Cluster = Any


def deployment(name: str = "web", replicas: int = 3, image: str = "nginx:1", **spec: Any) -> Object:
    labels = {"app": name}
    container = {"name": "main", "image": image}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"team": "blue"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def image_patch(image: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}


async def roll_out(cluster: Cluster, name: str = "web") -> None:
    for _ in range(20):
        await cluster.make_ready()
        await cluster.settle()


def sizes(sets: list[Object]) -> dict[str, int]:
    return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["spec"]["replicas"] for rs in sets}


async def test_a_new_deployment(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment())
    await cluster.settle()
    (rs,) = await cluster.list(REPLICA_SETS)
    digest = meta.labels(rs)["pod-template-hash"]
    assert meta.name(rs) == f"web-{digest}"
    assert set(digest) <= set(meta.SUFFIX_ALPHABET)
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert meta.annotations(rs) == {
        "team": "blue",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        "deployment.kubernetes.io/revision": "1",
    }
    pods = await cluster.list(PODS)
    assert len(pods) == 3
    assert all(meta.name(pod).startswith(f"{meta.name(rs)}-") for pod in pods)
    assert all(meta.controller_of(pod) == meta.owner_reference(rs) for pod in pods)
    web = await cluster.get(DEPLOYMENTS, "web")
    assert meta.annotations(web)["deployment.kubernetes.io/revision"] == "1"
    assert meta.generation(web) == 1
    status = web["status"]
    assert (status["replicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (3, 3, 3)
    assert status["observedGeneration"] == 1
    assert meta.condition(web, "Available")["reason"] == "MinimumReplicasUnavailable"
    assert meta.condition(web, "Progressing")["reason"] == "ReplicaSetUpdated"
    assert await cluster.events("web") == [("ScalingReplicaSet", f"Scaled up replica set {meta.name(rs)} from 0 to 3")]
    created = sorted(await cluster.events(meta.name(rs)))
    assert created == sorted(("SuccessfulCreate", f"Created pod: {meta.name(pod)}") for pod in pods)


async def test_it_becomes_available_and_complete(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment())
    await cluster.settle()
    await roll_out(cluster)
    web = await cluster.get(DEPLOYMENTS, "web")
    status = web["status"]
    assert (status["readyReplicas"], status["availableReplicas"]) == (3, 3)
    assert "unavailableReplicas" not in status
    available, progressing = meta.condition(web, "Available"), meta.condition(web, "Progressing")
    assert (available["status"], available["reason"], available["message"]) == (
        "True",
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
    )
    (rs,) = await cluster.list(REPLICA_SETS)
    assert (progressing["status"], progressing["reason"], progressing["message"]) == (
        "True",
        "NewReplicaSetAvailable",
        f'ReplicaSet "{meta.name(rs)}" has successfully progressed.',
    )


async def test_a_lost_pod_is_replaced_and_a_surplus_one_deleted(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment())
    await cluster.settle()
    first = (await cluster.list(PODS))[0]
    await cluster.client.delete(PODS, meta.name(first), "default", grace_period_seconds=0)
    await cluster.settle()
    assert len(await cluster.list(PODS)) == 3
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}})
    await cluster.settle()
    assert len([pod for pod in await cluster.list(PODS) if not meta.is_deleting(pod)]) == 1
    events = await cluster.events("web")
    assert events[-1][1].endswith("from 3 to 1")
    assert events[-1][1].startswith("Scaled down replica set web-")


async def test_a_rolling_update_keeps_within_its_bounds(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment(replicas=4))
    await cluster.settle()
    await roll_out(cluster)
    await cluster.patch(DEPLOYMENTS, "web", image_patch("nginx:2"))
    await cluster.settle()
    for _ in range(40):
        pods = await cluster.list(PODS)
        alive = [pod for pod in pods if not meta.is_deleting(pod)]
        assert len(alive) <= 5
        assert len([pod for pod in alive if meta.has_condition(pod, "Ready")]) >= 3
        waiting = [pod for pod in pods if meta.is_deleting(pod) or not meta.has_condition(pod, "Ready")]
        if not waiting:
            break
        first = meta.uid(waiting[0])
        await cluster.make_ready(only=lambda pod, first=first: meta.uid(pod) == first)
        await cluster.settle()
    assert sizes(await cluster.list(REPLICA_SETS)) == {"nginx:1": 0, "nginx:2": 4}
    web = await cluster.get(DEPLOYMENTS, "web")
    assert meta.annotations(web)["deployment.kubernetes.io/revision"] == "2"
    assert meta.condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"
    # Back to the first template: the same ReplicaSet, with a new revision and the old one in its history.
    await cluster.patch(DEPLOYMENTS, "web", image_patch("nginx:1"))
    await roll_out(cluster)
    sets = await cluster.list(REPLICA_SETS)
    assert sizes(sets) == {"nginx:1": 4, "nginx:2": 0}
    (current,) = [rs for rs in sets if rs["spec"]["replicas"]]
    assert meta.annotations(current)[rollout.REVISION] == "3"
    assert meta.annotations(current)[rollout.REVISION_HISTORY] == "1"


async def test_recreate_waits_for_the_last_old_pod(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    wanted = deployment(strategy={"type": "Recreate"})
    wanted["spec"]["template"]["spec"]["nodeName"] = "n1"
    await cluster.create(DEPLOYMENTS, wanted)
    await cluster.settle()
    assert len(await cluster.list(PODS)) == 3
    for pod in await cluster.list(PODS):
        await cluster.patch(PODS, meta.name(pod), {"metadata": {"finalizers": ["test/hold"]}})
    await cluster.patch(DEPLOYMENTS, "web", image_patch("nginx:2"))
    await cluster.settle(5)
    pods = await cluster.list(PODS)
    assert len(pods) == 3
    assert all(meta.is_deleting(pod) for pod in pods)
    assert len(await cluster.list(REPLICA_SETS)) == 1
    for pod in pods:
        await cluster.patch(PODS, meta.name(pod), {"metadata": {"finalizers": None}})
        await cluster.client.delete(PODS, meta.name(pod), "default", grace_period_seconds=0)
    await cluster.settle()
    pods = await cluster.list(PODS)
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["nginx:2"] * 3


async def test_paused_it_scales_but_does_not_roll(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment(replicas=2))
    await cluster.settle()
    await roll_out(cluster)
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": True, **image_patch("nginx:2")["spec"]}})
    await cluster.settle()
    web = await cluster.get(DEPLOYMENTS, "web")
    assert meta.condition(web, "Progressing")["reason"] == "DeploymentPaused"
    assert sizes(await cluster.list(REPLICA_SETS)) == {"nginx:1": 2}
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}})
    await cluster.settle()
    assert sizes(await cluster.list(REPLICA_SETS)) == {"nginx:1": 3}
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
    await roll_out(cluster)
    assert sizes(await cluster.list(REPLICA_SETS)) == {"nginx:1": 0, "nginx:2": 3}


async def test_a_rollout_that_gets_stuck_says_so(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment(progressDeadlineSeconds=60))
    await cluster.settle(120)
    web = await cluster.get(DEPLOYMENTS, "web")
    progressing = meta.condition(web, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert progressing["message"].endswith("has timed out progressing.")
    await roll_out(cluster)
    web = await cluster.get(DEPLOYMENTS, "web")
    assert meta.condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"


async def test_old_replica_sets_are_kept_up_to_the_limit(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=2))
    for number in range(2, 6):
        await cluster.settle()
        await roll_out(cluster)
        await cluster.patch(DEPLOYMENTS, "web", image_patch(f"nginx:{number}"))
    await roll_out(cluster)
    assert sizes(await cluster.list(REPLICA_SETS)) == {"nginx:3": 0, "nginx:4": 0, "nginx:5": 1}


async def test_min_ready_seconds(cluster: Cluster) -> None:
    await cluster.create(DEPLOYMENTS, deployment(minReadySeconds=30))
    await cluster.settle()
    await cluster.make_ready()
    await cluster.settle(10)
    status = (await cluster.get(DEPLOYMENTS, "web"))["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (3, 0)
    await cluster.settle(25)
    assert (await cluster.get(DEPLOYMENTS, "web"))["status"]["availableReplicas"] == 3


async def test_adoption_and_release(cluster: Cluster) -> None:
    labels = {"app": "web", "kind": "adopted"}
    spec = {"containers": [{"name": "main", "image": "x"}]}
    orphan = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan", "labels": labels}, "spec": spec}
    await cluster.create(PODS, orphan)
    wanted = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rs"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }
    rs = await cluster.create(REPLICA_SETS, wanted)
    await cluster.settle()
    assert meta.controller_of(await cluster.get(PODS, "orphan")) == meta.owner_reference(rs)
    assert len(await cluster.list(PODS)) == 2
    status = (await cluster.get(REPLICA_SETS, "rs"))["status"]
    assert (status["replicas"], status["fullyLabeledReplicas"]) == (2, 2)
    await cluster.patch(PODS, "orphan", {"metadata": {"labels": {"app": "other"}}})
    await cluster.settle()
    assert meta.controller_of(await cluster.get(PODS, "orphan")) is None
    assert len(await cluster.list(PODS)) == 3


async def test_a_create_that_is_refused_shows_in_status_and_events(cluster: Cluster) -> None:
    broken = deployment(replicas=2)
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "x"
    await cluster.create(DEPLOYMENTS, broken)
    await cluster.settle()

    client = cluster.client_for("replicaset-controller")
    original = client.create

    async def refuse(gvr: GVR, obj: Object, **kwargs: Any) -> Object:
        if gvr == PODS:
            from pinnace.api.errors import forbidden

            raise forbidden("", "pods", "", "exceeded quota: q")
        return await original(gvr, obj, **kwargs)

    client.create = refuse
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 4}})
    await cluster.settle()
    (rs,) = await cluster.list(REPLICA_SETS)
    failure = meta.condition(rs, "ReplicaFailure")
    assert (failure["reason"], failure["message"]) == ("FailedCreate", "pods is forbidden: exceeded quota: q")
    web = await cluster.get(DEPLOYMENTS, "web")
    assert meta.condition(web, "ReplicaFailure")["reason"] == "FailedCreate"
    assert ("FailedCreate", "Error creating: pods is forbidden: exceeded quota: q") in await cluster.events(
        meta.name(rs)
    )
    client.create = original
    await cluster.settle(60)
    assert len(await cluster.list(PODS)) == 4
    assert meta.condition((await cluster.list(REPLICA_SETS))[0], "ReplicaFailure") is None


@pytest.mark.parametrize("surge", [0, "50%"])
async def test_a_restart_in_the_middle_carries_on(bare: Cluster, surge: int | str) -> None:
    await bare.start_controllers()
    bounds = {"maxSurge": surge, "maxUnavailable": 1}
    await bare.create(DEPLOYMENTS, deployment(replicas=4, strategy={"rollingUpdate": bounds}))
    await bare.settle()
    await roll_out(bare)
    await bare.patch(DEPLOYMENTS, "web", image_patch("nginx:2"))
    for _ in range(20):
        await bare.settle(0.01)
        await bare.stop_controllers()
        await bare.make_ready()
        await bare.start_controllers()
        await bare.settle()
    assert sizes(await bare.list(REPLICA_SETS)) == {"nginx:1": 0, "nginx:2": 4}
    assert len(await bare.list(PODS)) == 4
