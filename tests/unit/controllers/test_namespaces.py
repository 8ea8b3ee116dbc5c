"""Namespaces: what each has, and how one ends."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS

Cluster = Any


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
