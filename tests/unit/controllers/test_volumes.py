"""PersistentVolumes and their claims."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.controllers.volumebinding import CLAIMS, CLASSES, VOLUMES

Cluster = Any


def volume(name: str, size: str = "5Gi", **spec: Any) -> Object:
    base = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/x"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {**base, **spec}}


def claim(name: str = "data", size: str = "3Gi", **spec: Any) -> Object:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": ""}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {**base, **spec}}


async def phase(cluster: Cluster, name: str) -> str:
    return str((await cluster.get(VOLUMES, name, ""))["status"]["phase"])


async def test_a_claim_gets_the_smallest_volume_that_fits(cluster: Cluster) -> None:
    for name, size in (("small", "1Gi"), ("right", "4Gi"), ("large", "50Gi")):
        await cluster.create(VOLUMES, volume(name, size), "")
    await cluster.settle()
    assert await phase(cluster, "right") == "Available"
    await cluster.create(CLAIMS, claim())
    await cluster.settle()
    bound = await cluster.get(CLAIMS, "data")
    assert bound["spec"]["volumeName"] == "right"
    assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "4Gi"}}
    assert meta.annotations(bound)["pv.kubernetes.io/bind-completed"] == "yes"
    assert (await cluster.get(VOLUMES, "right", ""))["spec"]["claimRef"]["uid"] == meta.uid(bound)
    assert [await phase(cluster, name) for name in ("small", "right", "large")] == ["Available", "Bound", "Available"]


async def test_a_claim_waits_for_a_volume(cluster: Cluster) -> None:
    await cluster.create(CLAIMS, claim())
    await cluster.settle()
    assert (await cluster.get(CLAIMS, "data"))["status"]["phase"] == "Pending"
    assert ("FailedBinding", "no persistent volumes available for this claim and no storage class is set") in (
        await cluster.events("data")
    )
    await cluster.create(VOLUMES, volume("late"), "")
    await cluster.settle()
    assert (await cluster.get(CLAIMS, "data"))["status"]["phase"] == "Bound"


async def test_a_reserved_volume_goes_to_whom_it_is_reserved_for(cluster: Cluster) -> None:
    ref = {"namespace": "default", "name": "data"}
    await cluster.create(VOLUMES, volume("reserved", "100Gi", claimRef=ref), "")
    await cluster.create(VOLUMES, volume("tempting", "3Gi"), "")
    await cluster.create(CLAIMS, claim("other"))
    await cluster.create(CLAIMS, claim("data"))
    await cluster.settle()
    assert (await cluster.get(CLAIMS, "data"))["spec"]["volumeName"] == "reserved"
    assert (await cluster.get(CLAIMS, "other"))["spec"]["volumeName"] == "tempting"


async def test_a_released_volume_is_not_given_to_another(cluster: Cluster) -> None:
    await cluster.create(VOLUMES, volume("only"), "")
    await cluster.create(CLAIMS, claim())
    await cluster.settle()
    await cluster.client.delete(CLAIMS, "data", "default")
    await cluster.settle()
    assert await cluster.maybe(CLAIMS, "data") is None
    assert await phase(cluster, "only") == "Released"
    await cluster.create(CLAIMS, claim("next"))
    await cluster.settle()
    assert (await cluster.get(CLAIMS, "next"))["status"]["phase"] == "Pending"


async def test_classes_tell_provisioners_and_wait_for_consumers(cluster: Cluster) -> None:
    for name, mode in (("fast", "Immediate"), ("lazy", "WaitForFirstConsumer")):
        made = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        await cluster.create(CLASSES, {**made, "provisioner": "example.com/disk", "volumeBindingMode": mode}, "")
    await cluster.create(CLAIMS, claim("now", storageClassName="fast"))
    await cluster.create(CLAIMS, claim("later", storageClassName="lazy"))
    await cluster.settle()
    told = meta.annotations(await cluster.get(CLAIMS, "now"))
    assert told["volume.kubernetes.io/storage-provisioner"] == "example.com/disk"
    assert [reason for reason, _ in await cluster.events("later")] == ["WaitForFirstConsumer"]


async def test_a_claim_in_use_stays_until_its_pod_is_gone(cluster: Cluster) -> None:
    await cluster.create(VOLUMES, volume("v"), "")
    await cluster.create(CLAIMS, claim())
    spec = {
        "containers": [{"name": "main", "image": "x"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    await cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": spec})
    await cluster.settle()
    await cluster.client.delete(CLAIMS, "data", "default")
    await cluster.client.delete(VOLUMES, "v")
    await cluster.settle()
    assert meta.is_deleting(await cluster.get(CLAIMS, "data"))
    assert meta.is_deleting(await cluster.get(VOLUMES, "v", ""))
    await cluster.client.delete(PODS, "user", "default", grace_period_seconds=0)
    await cluster.settle(5)
    assert await cluster.maybe(CLAIMS, "data") is None
    assert await cluster.maybe(VOLUMES, "v", "") is None


async def recycled(cluster: Cluster, name: str, **spec: Any) -> Object | None:
    """The Pod that empties a volume whose claim has come and gone."""
    await cluster.create(VOLUMES, volume(name, persistentVolumeReclaimPolicy="Recycle", **spec), "")
    await cluster.create(CLAIMS, claim())
    await cluster.settle()
    await cluster.client.delete(CLAIMS, "data", "default")
    await cluster.settle()
    found: Object | None = await cluster.maybe(PODS, f"recycler-for-{name}")
    return found


async def test_a_recycled_volume_is_emptied_and_free_again(cluster: Cluster) -> None:
    pod = await recycled(cluster, "used")
    assert pod is not None
    assert pod["spec"]["volumes"][0] == {"name": "vol", "hostPath": {"path": "/tmp/x", "type": ""}}
    assert pod["spec"]["containers"][0]["volumeMounts"][0] == {"name": "vol", "mountPath": "/scrub"}
    assert await phase(cluster, "used") == "Released", "not before it is empty"
    await cluster.set_status(pod, phase="Succeeded")
    await cluster.settle()
    assert await phase(cluster, "used") == "Available"
    assert "claimRef" not in (await cluster.get(VOLUMES, "used", ""))["spec"]
    assert ("VolumeRecycled", "Volume recycled") in await cluster.events("used")
    ending = await cluster.maybe(PODS, "recycler-for-used")
    assert ending is None or meta.is_deleting(ending)
    await cluster.create(CLAIMS, claim("next"))
    await cluster.settle()
    assert (await cluster.get(CLAIMS, "next"))["spec"]["volumeName"] == "used"


async def test_a_volume_that_cannot_be_emptied_has_failed(cluster: Cluster) -> None:
    pod = await recycled(cluster, "stuck")
    assert pod is not None
    await cluster.set_status(pod, phase="Failed", message="Pod was active too long")
    await cluster.settle()
    assert await phase(cluster, "stuck") == "Failed"
    assert ("VolumeFailedRecycle", "Recycle failed: Pod was active too long") in await cluster.events("stuck")


async def test_only_host_paths_and_nfs_are_recycled(cluster: Cluster) -> None:
    local = {"hostPath": None, "csi": {"driver": "x.test", "volumeHandle": "1"}}
    assert await recycled(cluster, "other", **local) is None
    assert await phase(cluster, "other") == "Failed"
    assert ("VolumeFailedRecycle", "No recycler plugin found for the volume!") in await cluster.events("other")
