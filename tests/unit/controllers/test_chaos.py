"""Controllers while Pods do as they like: whatever happens, the numbers hold and the end is the right one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.resources import JOBS, PODS, REPLICA_SETS
from pinnace.api.types import Object
from pinnace.controllers import jobindexes

Cluster = Any


def pods_spec() -> Object:
    return {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}


async def running(cluster: Cluster) -> list[Object]:
    return [
        pod
        for pod in await cluster.list(PODS)
        if not meta.is_deleting(pod) and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]


async def disturb(cluster: Cluster, chance: random.Random, *, restart: bool) -> None:
    """Something happens to a Pod, or to the controllers."""
    pods = await running(cluster)
    what = chance.choice(["succeed", "succeed", "fail", "delete", "nothing", "restart"])
    if what == "restart" and restart:
        await cluster.stop_controllers()
        await cluster.start_controllers()
    if not pods:
        return
    pod = chance.choice(pods)
    if what == "delete":
        await cluster.client.delete(PODS, meta.name(pod), "default", grace_period_seconds=0)
    elif what in ("succeed", "fail"):
        await cluster.set_status(pod, phase="Succeeded" if what == "succeed" else "Failed")


@pytest.mark.parametrize("seed", range(8))
async def test_an_indexed_job_runs_every_index_to_success(bare: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    await bare.start_controllers()
    spec = {
        "completionMode": "Indexed",
        "completions": 6,
        "parallelism": 3,
        "backoffLimit": 1000,
        "template": {"spec": pods_spec()},
    }
    await bare.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": spec})
    for _ in range(60):
        await bare.settle(chance.choice([0.01, 1.0, 700.0]))
        pods = await running(bare)
        indexes = [jobindexes.index_of(pod) for pod in pods]
        assert len(pods) <= 3
        assert len(set(indexes)) == len(indexes)
        await disturb(bare, chance, restart=True)
    for _ in range(40):
        for pod in await running(bare):
            await bare.set_status(pod, phase="Succeeded")
        await bare.settle(700)
    job = await bare.get(JOBS, "work")
    assert meta.has_condition(job, "Complete"), job["status"]
    assert (job["status"]["succeeded"], job["status"]["completedIndexes"]) == (6, "0-5")
    assert job["status"]["uncountedTerminatedPods"] == {}
    assert all(not meta.finalizers(pod) for pod in await bare.list(PODS))


@pytest.mark.parametrize("seed", range(5))
async def test_a_replica_set_never_has_more_pods_than_it_asked_for(bare: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    await bare.start_controllers()
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 4, "selector": {"matchLabels": labels}, "template": template}
    await bare.create(
        REPLICA_SETS, {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs"}, "spec": spec}
    )
    most = 4
    for _ in range(50):
        await disturb(bare, chance, restart=True)
        if chance.random() < 0.3:
            size = chance.randint(0, 8)
            await bare.patch(REPLICA_SETS, "rs", {"spec": {"replicas": size}})
            await bare.settle(1)
            most = size
        await bare.settle(chance.choice([0.0, 0.01, 1.0]))
        assert len(await running(bare)) <= most
    await bare.settle(2)
    assert len(await running(bare)) == most
    assert (await bare.get(REPLICA_SETS, "rs"))["status"]["replicas"] == most
