"""Namespaces: what each has, and how one ends."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICE_ACCOUNTS
from pinnace.api.types import Object

Cluster = Any


def deployment() -> Object:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def test_every_namespace_has_an_account_and_the_root_ca(cluster: Cluster) -> None:
    for space in ("default", "kube-system"):
        assert await cluster.get(SERVICE_ACCOUNTS, "default", space)
        published = await cluster.get(CONFIG_MAPS, "kube-root-ca.crt", space)
        assert published["data"]["ca.crt"].startswith("-----BEGIN")
        assert "kubernetes.io/description" in meta.annotations(published)


async def test_what_was_deleted_or_changed_comes_back(cluster: Cluster) -> None:
    await cluster.client.delete(SERVICE_ACCOUNTS, "default", "default")
    await cluster.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged", "other": "x"}})
    await cluster.settle()
    assert await cluster.get(SERVICE_ACCOUNTS, "default")
    assert list((await cluster.get(CONFIG_MAPS, "kube-root-ca.crt"))["data"]) == ["ca.crt"]
    await cluster.client.delete(CONFIG_MAPS, "kube-root-ca.crt", "default")
    await cluster.settle()
    assert await cluster.get(CONFIG_MAPS, "kube-root-ca.crt")


async def test_a_new_namespace_gets_them_at_once(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.settle(0)
    assert await cluster.get(SERVICE_ACCOUNTS, "default", "team")


async def test_deleting_a_namespace_deletes_what_is_in_it(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.create(DEPLOYMENTS, deployment(), "team")
    await cluster.settle()
    assert len(await cluster.list(PODS, "team")) == 3
    await cluster.client.delete(NAMESPACES, "team")
    await cluster.settle(60)
    assert await cluster.maybe(NAMESPACES, "team", "") is None
    for gvr in (PODS, REPLICA_SETS, DEPLOYMENTS, CONFIG_MAPS, SERVICE_ACCOUNTS):
        assert await cluster.list(gvr, "team") == []


async def test_content_with_finalizers_holds_a_namespace_and_the_conditions_tell(bare: Cluster) -> None:
    await bare.start_controllers()
    await bare.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    held = {"name": "held", "finalizers": ["example.com/wait"]}
    await bare.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": held}, "team")
    await bare.client.delete(NAMESPACES, "team")
    await bare.settle(30)
    namespace = await bare.get(NAMESPACES, "team", "")
    assert namespace["status"]["phase"] == "Terminating"
    remaining = meta.condition(namespace, "NamespaceContentRemaining")
    assert (remaining["status"], remaining["reason"], remaining["message"]) == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: configmaps. has 1 resource instances",
    )
    finalizers = meta.condition(namespace, "NamespaceFinalizersRemaining")
    assert finalizers["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
    )
    assert meta.condition(namespace, "NamespaceDeletionContentFailure")["status"] == "False"
    await bare.stop_controllers()
    await bare.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "team")
    await bare.start_controllers()  # a restart in the middle carries on
    await bare.settle(30)
    assert await bare.maybe(NAMESPACES, "team", "") is None


async def test_pods_get_their_grace_before_anything_else_goes(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    spec = {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "slow"}, "spec": spec}
    await cluster.create(PODS, pod, "team")
    await cluster.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "used"}}, "team")
    await cluster.client.delete(NAMESPACES, "team")
    await cluster.settle(5)
    assert meta.is_deleting(await cluster.get(PODS, "slow", "team"))
    assert await cluster.get(CONFIG_MAPS, "used", "team")
    await cluster.client.delete(PODS, "slow", "team", grace_period_seconds=0)
    await cluster.settle(0.1)
    assert await cluster.maybe(NAMESPACES, "team", "") is None
