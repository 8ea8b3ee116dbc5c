"""Defaults of the storage group."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill
from pinnace.api.defaults.volumes import network_source
from pinnace.api.types import Object

_GROUP = "storage.k8s.io"


def storage_class(obj: Object) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def csi_driver(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(
        spec,
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        requiresRepublish=False,
        seLinuxMount=False,
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def volume_attachment(obj: Object) -> None:
    inline = child(child(obj, "spec"), "source").get("inlineVolumeSpec")
    if isinstance(inline, dict):
        fill(inline, volumeMode="Filesystem")
        network_source(inline)


DEFAULTS = {
    (_GROUP, "StorageClass"): storage_class,
    (_GROUP, "CSIDriver"): csi_driver,
    (_GROUP, "VolumeAttachment"): volume_attachment,
}
