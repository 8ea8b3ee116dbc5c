"""ResourceQuotas: what is used of them."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta, quota
from pinnace.api.resources import CONFIG_MAPS, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers.resourcequota import QUOTAS

Cluster = Any


def resource_quota(hard: dict[str, str], **spec: Any) -> Object:
    spec = {"hard": hard, **spec}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec}


def pod(name: str, cpu: str = "", **spec: Any) -> Object:
    resources = {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"memory": "2Gi"}} if cpu else {}
    wanted = {"containers": [{"name": "main", "image": "x", "resources": resources}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": wanted}


async def used(cluster: Cluster) -> dict[str, str]:
    await cluster.settle()
    status: dict[str, str] = (await cluster.get(QUOTAS, "q"))["status"]["used"]
    return status


async def test_it_follows_what_comes_and_goes(cluster: Cluster) -> None:
    hard = {"pods": "10", "requests.cpu": "4", "limits.memory": "8Gi", "configmaps": "5", "count/configmaps": "5"}
    await cluster.create(QUOTAS, resource_quota(hard))
    assert await used(cluster) == {
        "pods": "0",
        "requests.cpu": "0",
        "limits.memory": "0",
        "configmaps": "1",  # kube-root-ca.crt
        "count/configmaps": "1",
    }
    for number in range(3):
        await cluster.create(PODS, pod(f"p{number}", "500m"))
    await cluster.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    assert await used(cluster) == {
        "pods": "3",
        "requests.cpu": "1500m",
        "limits.memory": "6Gi",
        "configmaps": "2",
        "count/configmaps": "2",
    }
    await cluster.client.delete(PODS, "p0", "default", grace_period_seconds=0)
    await cluster.set_status(await cluster.get(PODS, "p1"), phase="Succeeded")
    assert (await used(cluster))["pods"] == "1"
    assert (await cluster.get(QUOTAS, "q"))["status"]["hard"] == hard


async def test_services_and_scopes(cluster: Cluster) -> None:
    await cluster.create(QUOTAS, resource_quota({"services": "5", "services.nodeports": "2"}))
    port = {"port": 80, "nodePort": 30000}
    node_port = {"type": "NodePort", "ports": [port], "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}
    await cluster.create(
        SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": node_port}
    )
    assert await used(cluster) == {"services": "1", "services.nodeports": "1"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"scopes": ["BestEffort"]}, 1),
        ({"scopes": ["NotBestEffort"]}, 2),
        ({"scopes": ["Terminating"]}, 1),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, 1),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            1,
        ),
        ({}, 3),
    ],
)
def test_scopes_choose_pods(spec: Object, expected: int) -> None:
    pods = [
        pod("none"),
        pod("some", "1", priorityClassName="high"),
        pod("short", "1", activeDeadlineSeconds=5),
    ]
    wanted = resource_quota({"pods": "9"}, **spec)
    assert quota.used(wanted, [("", "pods", p) for p in pods]) == {"pods": expected}


def test_claims_count_by_class() -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "3Gi"}}}
    claim: Object = {"metadata": {"name": "c"}, "spec": spec}
    found = quota.usage("", "persistentvolumeclaims", claim)
    name = "fast.storageclass.storage.k8s.io/requests.storage"
    assert found["requests.storage"] == found[name] == quota.amount(name, "3Gi")
    assert quota.text(name, found[name]) == "3Gi"
    assert meta.name(claim) == "c"
