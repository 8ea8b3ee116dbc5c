"""StatefulSets against a real API server; the tests play the kubelet."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.resources import PODS, STATEFUL_SETS
from pinnace.api.types import Object
from pinnace.controllers.statefulset import CLAIMS

Cluster = Any


def stateful_set(replicas: int = 3, image: str = "db:1", **spec: Any) -> Object:
    labels = {"app": "db"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}},
            **spec,
        },
    }


def volume_claims() -> list[Object]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [{"metadata": {"name": "data"}, "spec": spec}]


async def alive(cluster: Cluster) -> list[str]:
    return sorted(meta.name(pod) for pod in await cluster.list(PODS) if not meta.is_deleting(pod))


async def images(cluster: Cluster) -> dict[str, str]:
    return {meta.name(pod): pod["spec"]["containers"][0]["image"] for pod in await cluster.list(PODS)}


async def run(cluster: Cluster, rounds: int = 1) -> None:
    for _ in range(rounds):
        await cluster.make_ready()
        await cluster.settle()


async def test_pods_come_one_after_the_other_and_go_in_reverse(cluster: Cluster) -> None:
    await cluster.create(STATEFUL_SETS, stateful_set())
    for expected in (["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]):
        await cluster.settle(5)
        assert await alive(cluster) == expected
        await run(cluster)
    status = (await cluster.get(STATEFUL_SETS, "db"))["status"]
    assert (status["replicas"], status["readyReplicas"], status["currentReplicas"], status["updatedReplicas"]) == (
        3,
        3,
        3,
        3,
    )
    assert status["currentRevision"] == status["updateRevision"]
    pod = await cluster.get(PODS, "db-1")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    labels = meta.labels(pod)
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert labels["apps.kubernetes.io/pod-index"] == "1"
    assert labels["controller-revision-hash"] == status["currentRevision"]
    events = await cluster.events("db")
    assert events[0] == ("SuccessfulCreate", "create Pod db-0 in StatefulSet db successful")
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    await cluster.settle(5)
    assert await alive(cluster) == ["db-0"]
    deleted = [message for reason, message in await cluster.events("db") if reason == "SuccessfulDelete"]
    assert deleted == ["delete Pod db-2 in StatefulSet db successful", "delete Pod db-1 in StatefulSet db successful"]


async def test_parallel_pods_come_at_once(cluster: Cluster) -> None:
    await cluster.create(STATEFUL_SETS, stateful_set(podManagementPolicy="Parallel", ordinals={"start": 5}))
    await cluster.settle()
    assert await alive(cluster) == ["db-5", "db-6", "db-7"]


async def test_a_lost_pod_comes_back_under_its_name_with_its_claim(cluster: Cluster) -> None:
    await cluster.create(STATEFUL_SETS, stateful_set(2, volumeClaimTemplates=volume_claims()))
    await run(cluster, 3)
    assert sorted(meta.name(claim) for claim in await cluster.list(CLAIMS)) == ["data-db-0", "data-db-1"]
    before = await cluster.get(PODS, "db-0")
    assert before["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data-db-0"}
    await cluster.client.delete(PODS, "db-0", "default", grace_period_seconds=0)
    await cluster.settle()
    assert meta.uid(await cluster.get(PODS, "db-0")) != meta.uid(before)
    assert len(await cluster.list(CLAIMS)) == 2


async def test_claims_go_with_scaling_if_asked_to(cluster: Cluster) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    wanted = stateful_set(2, volumeClaimTemplates=volume_claims(), persistentVolumeClaimRetentionPolicy=policy)
    await cluster.create(STATEFUL_SETS, wanted)
    await run(cluster, 3)
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    await cluster.settle(5)
    assert [meta.name(claim) for claim in await cluster.list(CLAIMS) if not meta.is_deleting(claim)] == ["data-db-0"]
    await cluster.client.delete(STATEFUL_SETS, "db", "default")
    await cluster.settle(5)
    assert [claim for claim in await cluster.list(CLAIMS) if not meta.is_deleting(claim)] == []


async def test_a_rolling_update_from_the_last_to_the_first(cluster: Cluster) -> None:
    await cluster.create(STATEFUL_SETS, stateful_set())
    await run(cluster, 4)
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"template": stateful_set(image="db:2")["spec"]["template"]}})
    for expected in (["db:1", "db:1", "db:2"], ["db:1", "db:2", "db:2"], ["db:2", "db:2", "db:2"]):
        await cluster.settle(5)
        assert sorted((await images(cluster)).values()) == expected
        await run(cluster)
    status = (await cluster.get(STATEFUL_SETS, "db"))["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert status["updatedReplicas"] == 3


async def test_a_partition_holds_an_update_back(cluster: Cluster) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await cluster.create(STATEFUL_SETS, stateful_set(updateStrategy=strategy))
    await run(cluster, 4)
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"template": stateful_set(image="db:2")["spec"]["template"]}})
    await cluster.settle()
    await run(cluster, 4)
    assert await images(cluster) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
    await cluster.client.delete(PODS, "db-1", "default", grace_period_seconds=0)
    await cluster.settle()
    assert (await images(cluster))["db-1"] == "db:1"


async def test_a_failed_pod_is_made_again(cluster: Cluster) -> None:
    await cluster.create(STATEFUL_SETS, stateful_set(1))
    await cluster.settle()
    pod = await cluster.get(PODS, "db-0")
    await cluster.set_status(pod, phase="Failed")
    await cluster.settle()
    assert meta.uid(await cluster.get(PODS, "db-0")) != meta.uid(pod)
    assert ("RecreatingFailedPod", "StatefulSet default/db is recreating failed Pod db-0") in await cluster.events("db")
