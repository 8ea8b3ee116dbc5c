"""Binds PersistentVolumeClaims to PersistentVolumes, and follows both to their end.

Volumes that are there are bound, those reserved by a claimRef first. Making volumes, and cleaning those of reclaim
policy Delete, is the provisioners' work: they are plain API clients, and the claims tell them by annotation. Those of
policy Recycle are ``volumerecycler``'s.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import GVR, Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import kit, podstate, volumes
from pinnace.core.clock import timestamp

CLAIMS = GVR("", "v1", "persistentvolumeclaims")
VOLUMES = GVR("", "v1", "persistentvolumes")
CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
#: Provisioners that were part of Kubernetes once, and the CSI drivers that took their place.
_MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


class VolumeBindingController(kit.Controller):
    """Keys are claims (``claim <key>``) and volumes (``volume <name>``)."""

    name = "persistentvolume-binder-controller"
    account = "persistent-volume-binder"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder("persistentvolume-controller")
        self._claims = tools.informer(CLAIMS)
        self._volumes = tools.informer(VOLUMES)
        self._classes = tools.informer(CLASSES)
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)
        self._classes.add_handler(self._class_changed)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        claim = new if new is not None else old
        if claim is None:
            return
        self.queue.add(f"claim {meta.key(claim)}")
        if claim["spec"].get("volumeName"):
            self.queue.add(f"volume {claim['spec']['volumeName']}")

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        volume = new if new is not None else old
        if volume is None:
            return
        self.queue.add(f"volume {meta.name(volume)}")
        ref = volume["spec"].get("claimRef")
        if ref:
            self.queue.add(f"claim {ref.get('namespace')}/{ref.get('name')}")
        else:
            self._enqueue_pending()

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._enqueue_pending()

    def _enqueue_pending(self) -> None:
        for claim in self._claims:
            if (claim.get("status") or {}).get("phase") != "Bound":
                self.queue.add(f"claim {meta.key(claim)}")

    async def sync(self, key: str) -> None:
        what, _, name = key.partition(" ")
        if what == "claim":
            claim = self._claims.by_key(name)
            if claim is not None:
                await self._sync_claim(claim)
            return
        volume = self._volumes.by_key(name)
        if volume is not None:
            await self._sync_volume(volume)

    # -- claims

    async def _sync_claim(self, claim: Object) -> None:
        name = claim["spec"].get("volumeName")
        if name:
            volume = self._volumes.get(name)
            if volume is not None and (volumes.is_claimed_by(volume, claim) or not volume["spec"].get("claimRef")):
                await self._bind(claim, volume)
            elif volumes.BIND_COMPLETED in meta.annotations(claim):
                await self._lose(claim, volume)
            return
        if meta.is_deleting(claim):
            return
        storage_class = self._classes.get(volumes.class_of(claim)) if volumes.class_of(claim) else None
        reserved = next((v for v in self._volumes if volumes.is_claimed_by(v, claim)), None)
        if reserved is None and _waits_for_consumer(storage_class, claim):
            message = "waiting for first consumer to be created before binding"
            self._events.event(claim, NORMAL, "WaitForFirstConsumer", message)
            return
        found = reserved if reserved is not None else volumes.best(self._volumes, claim)
        if found is not None:
            await self._bind(claim, found)
        elif storage_class is not None:
            await self._ask_provisioner(claim, str(storage_class["provisioner"]))
        elif volumes.class_of(claim):
            message = f'storageclass.storage.k8s.io "{volumes.class_of(claim)}" not found'
            self._events.event(claim, WARNING, "ProvisioningFailed", message)
        else:
            message = "no persistent volumes available for this claim and no storage class is set"
            self._events.event(claim, NORMAL, "FailedBinding", message)

    async def _ask_provisioner(self, claim: Object, provisioner: str) -> None:
        provisioner = _MIGRATED.get(provisioner, provisioner)
        if provisioner == "kubernetes.io/no-provisioner":
            message = "no persistent volumes available for this claim and no storage class is set"
            self._events.event(claim, NORMAL, "FailedBinding", message)
            return
        wanted = {_PROVISIONER: provisioner, _OLD_PROVISIONER: provisioner}
        if not wanted.items() <= meta.annotations(claim).items():
            annotations = {**meta.annotations(claim), **wanted}
            await self.client.update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "annotations": annotations}})
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        self._events.event(claim, NORMAL, "ExternalProvisioning", message)

    async def _bind(self, claim: Object, volume: Object) -> None:
        """Volume first, then claim: a crash in between leaves a volume that is reserved for this very claim."""
        volume = await self._reserve(claim, volume)
        await self._volume_phase(volume, "Bound")
        annotations = dict(meta.annotations(claim))
        spec = claim["spec"]
        if spec.get("volumeName") != meta.name(volume):
            spec = {**spec, "volumeName": meta.name(volume)}
            annotations[volumes.BOUND_BY_CONTROLLER] = "yes"
        annotations[volumes.BIND_COMPLETED] = "yes"
        if annotations != meta.annotations(claim) or spec is not claim["spec"]:
            changed = {**claim, "metadata": {**claim["metadata"], "annotations": annotations}, "spec": spec}
            claim = await self.client.update(CLAIMS, changed)
        status = {
            **(claim.get("status") or {}),
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
        }
        if (claim.get("status") or {}).get("phase") != "Bound":
            status["capacity"] = volume["spec"].get("capacity") or {}
        if status != (claim.get("status") or {}):
            await self.client.update(CLAIMS, {**claim, "status": status}, subresource="status")

    async def _reserve(self, claim: Object, volume: Object) -> Object:
        ref = volume["spec"].get("claimRef") or {}
        if ref.get("uid") == meta.uid(claim):
            return volume
        wanted = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": meta.namespace(claim),
            "name": meta.name(claim),
            "uid": meta.uid(claim),
            "resourceVersion": meta.resource_version(claim),
        }
        annotations = dict(meta.annotations(volume))
        if not ref:
            annotations[volumes.BOUND_BY_CONTROLLER] = "yes"
        metadata = {**volume["metadata"], "annotations": annotations}
        return await self.client.update(
            VOLUMES, {**volume, "metadata": metadata, "spec": {**volume["spec"], "claimRef": wanted}}
        )

    async def _lose(self, claim: Object, volume: Object | None) -> None:
        if (claim.get("status") or {}).get("phase") == "Lost":
            return
        status = {"phase": "Lost"}
        await self.client.update(CLAIMS, {**claim, "status": status}, subresource="status")
        if volume is None:
            message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            self._events.event(claim, WARNING, "ClaimLost", message)
        else:
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            self._events.event(claim, WARNING, "ClaimMisbound", message)

    # -- volumes

    async def _sync_volume(self, volume: Object) -> None:
        ref = volume["spec"].get("claimRef")
        if not ref or not ref.get("uid"):
            await self._volume_phase(volume, "Available")
            return
        claim = self._claims.get(str(ref.get("name")), str(ref.get("namespace")))
        if claim is not None and meta.uid(claim) == ref["uid"]:
            if claim["spec"].get("volumeName") == meta.name(volume):
                await self._volume_phase(volume, "Bound")
            return
        if (volume.get("status") or {}).get("phase") not in ("Released", "Failed"):
            fresh = await self._claim_exists(ref)
            if not fresh:
                await self._volume_phase(volume, "Released")
            return
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            by = meta.annotations(volume).get(_PROVISIONED_BY)
            if not by and (volume.get("status") or {}).get("phase") != "Failed":
                message = (
                    f'error getting deleter volume plugin for volume "{meta.name(volume)}": no volume plugin matched'
                )
                self._events.event(volume, WARNING, "VolumeFailedDelete", message)
                await self._volume_phase(volume, "Failed", message=message)

    async def _claim_exists(self, ref: Object) -> bool:
        try:
            claim = await self.client.get(CLAIMS, str(ref["name"]), str(ref["namespace"]))
        except ApiError as error:
            if is_reason(error, "NotFound"):
                return False
            raise
        return meta.uid(claim) == str(ref["uid"])

    async def _volume_phase(self, volume: Object, phase: str, *, message: str = "") -> None:
        held = volume.get("status") or {}
        if held.get("phase") == phase:
            return
        status = {"phase": phase, "lastPhaseTransitionTime": timestamp(self.clock.now())}
        if message:
            status["message"] = message
        await self.client.update(VOLUMES, {**volume, "status": status}, subresource="status")


def _waits_for_consumer(storage_class: Object | None, claim: Object) -> bool:
    if storage_class is None or storage_class.get("volumeBindingMode") != "WaitForFirstConsumer":
        return False
    return _SELECTED_NODE not in meta.annotations(claim)


class _Protection(kit.Controller):
    """Keeps objects of one kind, by a finalizer on each of them, until they are not in use."""

    gvr: ClassVar[GVR]
    finalizer: ClassVar[str]

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._objects = tools.informer(self.gvr)
        self.watch(self._objects)

    async def sync(self, key: str) -> None:
        obj = self._objects.by_key(key)
        if obj is None:
            return
        finalizers = meta.finalizers(obj)
        if not meta.is_deleting(obj):
            if self.finalizer not in finalizers:
                await self._set(obj, [*finalizers, self.finalizer])
        elif self.finalizer in finalizers and not self._in_use(obj):
            await self._set(obj, [name for name in finalizers if name != self.finalizer])

    @abstractmethod
    def _in_use(self, obj: Object) -> bool: ...

    async def _set(self, obj: Object, finalizers: list[str]) -> None:
        try:
            await self.client.update(self.gvr, {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise


class ClaimProtectionController(_Protection):
    """Claims that Pods use stay."""

    name = "persistentvolumeclaim-protection-controller"
    account = "pvc-protection-controller"
    gvr = CLAIMS
    finalizer = "kubernetes.io/pvc-protection"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._pods = tools.informer(PODS)
        self._pods.add_index("claim", _claims_used)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or podstate.is_terminal(new):
            for key in _claims_used(new if new is not None else old or {}):
                self.queue.add(key)

    def _in_use(self, obj: Object) -> bool:
        users = self._pods.indexed("claim", meta.key(obj))
        return any(not podstate.is_terminal(pod) or not podstate.node_of(pod) for pod in users)


class VolumeProtectionController(_Protection):
    """Volumes that are bound stay."""

    name = "persistentvolume-protection-controller"
    account = "pv-protection-controller"
    gvr = VOLUMES
    finalizer = "kubernetes.io/pv-protection"

    def _in_use(self, obj: Object) -> bool:
        return (obj.get("status") or {}).get("phase") == "Bound"


def _claims_used(pod: Object) -> tuple[str, ...]:
    space = meta.namespace(pod)
    found: list[str] = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if source := volume.get("persistentVolumeClaim"):
            found.append(f"{space}/{source['claimName']}")
        elif volume.get("ephemeral"):
            found.append(f"{space}/{meta.name(pod)}-{volume['name']}")
    return tuple(found)
