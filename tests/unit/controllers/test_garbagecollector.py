"""Owner references: cascades, foreground, orphans, absent and ambiguous owners."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS
from pinnace.api.types import GVR, Object

Cluster = Any


def config_map(name: str, *owners: Object, block: bool = False, **metadata: Any) -> Object:
    refs = [meta.owner_reference(owner, controller=False, block_deletion=block) for owner in owners]
    if refs:
        metadata["ownerReferences"] = refs
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


async def names(cluster: Cluster, gvr: GVR = CONFIG_MAPS) -> set[str]:
    return {meta.name(obj) for obj in await cluster.list(gvr)} - {"kube-root-ca.crt"}


async def chain(cluster: Cluster, *links: str, block: bool = False) -> list[Object]:
    """Each owns the next."""
    made: list[Object] = []
    for link in links:
        made.append(await cluster.create(CONFIG_MAPS, config_map(link, *made[-1:], block=block)))
    await cluster.settle()
    return made


async def deployed(cluster: Cluster) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    await cluster.create(DEPLOYMENTS, wanted)
    await cluster.settle()
    assert len(await cluster.list(PODS)) == 2


async def test_background_goes_down_the_chain(cluster: Cluster) -> None:
    await chain(cluster, "a", "b", "c")
    await cluster.client.delete(CONFIG_MAPS, "a", "default", propagation="Background")
    await cluster.settle()
    assert await names(cluster) == set()


async def test_a_deployment_takes_its_replica_sets_and_pods_along(cluster: Cluster) -> None:
    await deployed(cluster)
    await cluster.client.delete(DEPLOYMENTS, "web", "default")
    await cluster.settle(5)
    assert await cluster.list(REPLICA_SETS) == []
    assert await cluster.list(PODS) == []


async def test_foreground_waits_for_blocking_dependents(cluster: Cluster) -> None:
    owner = await cluster.create(CONFIG_MAPS, config_map("owner"))
    await cluster.create(CONFIG_MAPS, config_map("blocking", owner, block=True, finalizers=["example.com/wait"]))
    await cluster.create(CONFIG_MAPS, config_map("free", owner, finalizers=["example.com/wait"]))
    await cluster.settle()
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation="Foreground")
    await cluster.settle(5)
    assert await names(cluster) == {"owner", "blocking", "free"}
    assert meta.finalizers(await cluster.get(CONFIG_MAPS, "owner")) == ["foregroundDeletion"]
    assert meta.is_deleting(await cluster.get(CONFIG_MAPS, "blocking"))
    await cluster.patch(CONFIG_MAPS, "blocking", {"metadata": {"finalizers": None}})
    await cluster.settle(5)
    assert await names(cluster) == {"free"}


async def test_foreground_of_a_deployment_ends_with_the_last_pod(cluster: Cluster) -> None:
    await deployed(cluster)
    for pod in await cluster.list(PODS):
        await cluster.patch(PODS, meta.name(pod), {"metadata": {"finalizers": ["example.com/wait"]}})
    await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
    await cluster.settle(5)
    assert meta.is_deleting(await cluster.get(DEPLOYMENTS, "web"))
    assert len(await cluster.list(REPLICA_SETS)) == 1
    for pod in await cluster.list(PODS):
        assert meta.is_deleting(pod)
        await cluster.patch(PODS, meta.name(pod), {"metadata": {"finalizers": None}})
    await cluster.settle(5)
    assert await cluster.list(PODS) == []
    assert await cluster.list(REPLICA_SETS) == []
    assert await cluster.maybe(DEPLOYMENTS, "web") is None


async def test_orphans_stay_without_their_owner(cluster: Cluster) -> None:
    await deployed(cluster)
    await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
    await cluster.settle(5)
    assert await cluster.maybe(DEPLOYMENTS, "web") is None
    (rs,) = await cluster.list(REPLICA_SETS)
    assert meta.owner_references(rs) == []
    assert len(await cluster.list(PODS)) == 2


async def test_an_owner_that_never_was(cluster: Cluster) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
    await cluster.create(CONFIG_MAPS, config_map("lost", ghost))
    await cluster.settle()
    assert await names(cluster) == set()


async def test_one_living_owner_is_enough_and_dead_ones_are_dropped(cluster: Cluster) -> None:
    alive = await cluster.create(CONFIG_MAPS, config_map("alive"))
    dying = await cluster.create(CONFIG_MAPS, config_map("dying"))
    await cluster.create(CONFIG_MAPS, config_map("shared", alive, dying))
    await cluster.settle()
    await cluster.client.delete(CONFIG_MAPS, "dying", "default", propagation="Background")
    await cluster.settle()
    refs = meta.owner_references(await cluster.get(CONFIG_MAPS, "shared"))
    assert [ref["uid"] for ref in refs] == [meta.uid(alive)]


async def test_a_cluster_scoped_owner_of_something_in_a_namespace(cluster: Cluster) -> None:
    node = await cluster.add_node("n1")
    await cluster.create(CONFIG_MAPS, config_map("of-node", node))
    await cluster.settle()
    assert await names(cluster) == {"of-node"}
    await cluster.client.delete(NODES, "n1", propagation="Background")
    await cluster.settle()
    assert await names(cluster) == set()


async def test_an_owner_in_another_namespace_does_not_count(cluster: Cluster) -> None:
    owner = await cluster.create(CONFIG_MAPS, config_map("far"), "kube-system")
    await cluster.create(CONFIG_MAPS, config_map("near", owner))
    await cluster.settle()
    assert await names(cluster) == set()
    found = await cluster.events("near")
    assert [reason for reason, _ in found] == ["OwnerRefInvalidNamespace"]


async def test_something_cluster_scoped_with_an_owner_in_a_namespace_stays(cluster: Cluster) -> None:
    owner = await cluster.create(CONFIG_MAPS, config_map("owner"))
    await cluster.add_node("n1")
    ref = meta.owner_reference(owner, controller=False)
    await cluster.patch(NODES, "n1", {"metadata": {"ownerReferences": [ref]}}, "")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation="Background")
    await cluster.settle(5)
    assert await cluster.get(NODES, "n1", "")


async def test_a_circle_in_the_foreground_ends(cluster: Cluster) -> None:
    a, b = await chain(cluster, "a", "b", block=True)
    back = meta.owner_reference(b, controller=False)
    await cluster.patch(CONFIG_MAPS, "a", {"metadata": {"ownerReferences": [back]}})
    await cluster.settle()
    await cluster.client.delete(CONFIG_MAPS, meta.name(a), "default", propagation="Foreground")
    await cluster.settle(10)
    assert await names(cluster) == set()


async def test_what_happened_while_it_was_down_is_made_up_for(bare: Cluster) -> None:
    await bare.start_controllers()
    await chain(bare, "a", "b", "c")
    await bare.stop_controllers()
    await bare.client.delete(CONFIG_MAPS, "a", "default", propagation="Background")
    assert await names(bare) == {"b", "c"}
    await bare.start_controllers()
    await bare.settle()
    assert await names(bare) == set()


async def test_a_delete_that_fails_is_tried_again(cluster: Cluster) -> None:
    await chain(cluster, "a", "b")
    client = cluster.client_for("generic-garbage-collector")
    original, failures = client.delete, 3

    async def flaky(*args: Any, **kwargs: Any) -> Object:
        nonlocal failures
        if args[1] == "b" and failures:
            failures -= 1
            raise ApiError(500, "InternalError", "flaky")
        return await original(*args, **kwargs)

    client.delete = flaky
    await cluster.client.delete(CONFIG_MAPS, "a", "default", propagation="Background")
    await cluster.settle()
    assert (failures, await names(cluster)) == (0, set())
