"""Empties released volumes of reclaim policy Recycle, with a Pod that deletes what is on them, and frees them again.

Volumes of the kinds that upstream recycles: hostPath and NFS. The Pod says by annotation which claim it cleans up
after, so that one left over from before is never taken for this one.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import GVR, Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import kit, volumes
from pinnace.core.clock import timestamp

VOLUMES = GVR("", "v1", "persistentvolumes")
NAMESPACE = "default"
PREFIX = "recycler-for-"
IMAGE = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6"
AFTER = "pv.kubernetes.io/recycled-claim"
_SCRIPT = 'test -e /scrub && find /scrub -mindepth 1 -maxdepth 1 -exec rm -rf {} + && test -z "$(ls -A /scrub)"'
_KINDS = ("hostPath", "nfs")
_DEADLINE = 300


def pod_for(volume: Object, source: Object) -> Object:
    """The Pod that empties the volume. Pure."""
    container = {
        "name": "pv-recycler",
        "image": IMAGE,
        "command": ["/bin/sh"],
        "args": ["-c", _SCRIPT],
        "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": PREFIX + meta.name(volume),
            "namespace": NAMESPACE,
            "annotations": {AFTER: volume["spec"]["claimRef"]["uid"]},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE,
            "volumes": [{"name": "vol", **source}],
            "containers": [container],
        },
    }


def is_due(volume: Object | None) -> bool:
    """Whether the volume waits for it. Pure."""
    if volume is None or meta.is_deleting(volume):
        return False
    spec = volume["spec"]
    policy, phase = spec.get("persistentVolumeReclaimPolicy"), (volume.get("status") or {}).get("phase")
    return policy == "Recycle" and phase == "Released" and bool((spec.get("claimRef") or {}).get("uid"))


class VolumeRecycler(kit.Controller):
    """Keys are names of volumes."""

    name = "persistentvolume-recycler"
    account = "persistent-volume-binder"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder("persistentvolume-controller")
        self._volumes = tools.informer(VOLUMES)
        self._pods = tools.informer(PODS)
        self.watch(self._volumes)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is not None and meta.namespace(pod) == NAMESPACE and meta.name(pod).startswith(PREFIX):
            self.queue.add(meta.name(pod).removeprefix(PREFIX))

    async def sync(self, key: str) -> None:
        volume = self._volumes.get(key)
        pod = self._pods.get(PREFIX + key, NAMESPACE)
        if volume is None or not is_due(volume):
            await self._remove(pod)
            return
        after = volume["spec"]["claimRef"]["uid"]
        if pod is not None and meta.annotations(pod).get(AFTER) != after:
            await self._remove(pod)
            return
        phase = (pod.get("status") or {}).get("phase") if pod is not None else ""
        if phase == "Succeeded":
            await self._free(volume)
            self._events.event(volume, NORMAL, "VolumeRecycled", "Volume recycled")
        elif phase == "Failed":
            why = ((pod or {}).get("status") or {}).get("message") or "the recycler Pod failed"
            await self._fail(volume, f"Recycle failed: {why}")
        elif pod is None:
            await self._begin(volume)

    async def _begin(self, volume: Object) -> None:
        source = {kind: volume["spec"][kind] for kind in _KINDS if volume["spec"].get(kind)}
        if not source:
            await self._fail(volume, "No recycler plugin found for the volume!")
            return
        try:
            await self.client.create(PODS, pod_for(volume, source))
        except ApiError as error:
            if not is_reason(error, "AlreadyExists"):
                raise

    async def _free(self, volume: Object) -> None:
        """As unbinding does: a claimRef that was made when it was bound goes, one that was there before stays."""
        annotations = dict(meta.annotations(volume))
        spec = {**volume["spec"]}
        if annotations.pop(volumes.BOUND_BY_CONTROLLER, None):
            del spec["claimRef"]
        else:
            spec["claimRef"] = {k: v for k, v in spec["claimRef"].items() if k not in ("uid", "resourceVersion")}
        metadata = {**volume["metadata"], "annotations": annotations}
        fresh = await self.client.update(VOLUMES, {**volume, "metadata": metadata, "spec": spec})
        await self._phase(fresh, "Available", "")

    async def _fail(self, volume: Object, message: str) -> None:
        self._events.event(volume, WARNING, "VolumeFailedRecycle", message)
        await self._phase(volume, "Failed", message)

    async def _phase(self, volume: Object, phase: str, message: str) -> None:
        status = {"phase": phase, "lastPhaseTransitionTime": timestamp(self.clock.now())}
        if message:
            status["message"] = message
        await self.client.update(VOLUMES, {**volume, "status": status}, subresource="status")

    async def _remove(self, pod: Object | None) -> None:
        """Only what this controller made goes."""
        if pod is None or meta.is_deleting(pod) or AFTER not in meta.annotations(pod):
            return
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
