"""Defaults of volume sources, PersistentVolumes and PersistentVolumeClaims."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given, items, resource_lists
from pinnace.api.types import Object


def field_reference(holder: Object) -> None:
    """``fieldRef`` and ``resourceFieldRef`` of an environment variable or a downward API file."""
    reference = given(holder, "fieldRef")
    if reference is not None:
        fill_empty(reference, apiVersion="v1")
    resource = given(holder, "resourceFieldRef")
    if resource is not None:
        fill(resource, divisor="0")


def _downward(source: Object) -> None:
    for item in items(source, "items"):
        field_reference(item)


def network_source(holder: Object) -> None:
    """Sources that Pods and PersistentVolumes share."""
    source = given(holder, "hostPath")
    if source is not None:
        fill(source, type="")
    source = given(holder, "iscsi")
    if source is not None:
        fill_empty(source, iscsiInterface="default")
    source = given(holder, "rbd")
    if source is not None:
        fill_empty(source, pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    source = given(holder, "azureDisk")
    if source is not None:
        fill(source, cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False)
    source = given(holder, "scaleIO")
    if source is not None:
        fill_empty(source, storageMode="ThinProvisioned", fsType="xfs")


def volume(obj: Object) -> None:
    """One entry of a Pod's ``volumes``; one that names no source is an emptyDir."""
    if not any(name != "name" and value is not None for name, value in obj.items()):
        obj["emptyDir"] = {}
        return
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = given(obj, name)
        if source is not None:
            fill(source, defaultMode=420)
    downward = given(obj, "downwardAPI")
    if downward is not None:
        _downward(downward)
    for source in items(given(obj, "projected") or {}, "sources"):
        token = given(source, "serviceAccountToken")
        if token is not None:
            fill(token, expirationSeconds=3600)
        inner = given(source, "downwardAPI")
        if inner is not None:
            _downward(inner)
    image = given(obj, "image")
    if image is not None:
        from pinnace.api.defaults.pod import pull_policy

        fill_empty(image, pullPolicy=pull_policy(image.get("reference")))
    template = given(given(obj, "ephemeral") or {}, "volumeClaimTemplate")
    if template is not None:
        child(template, "metadata")
        claim_spec(child(template, "spec"))
    network_source(obj)


def claim_spec(spec: Object) -> None:
    fill(spec, volumeMode="Filesystem")
    resource_lists(child(spec, "resources"), "limits", "requests")
    # dataSource and dataSourceRef mirror each other where the reference stays in the claim's namespace.
    source, reference = given(spec, "dataSource"), given(spec, "dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}


def claim(obj: Object) -> None:
    claim_spec(child(obj, "spec"))
    status = child(obj, "status")
    fill_empty(status, phase="Pending")
    resource_lists(status, "capacity", "allocatedResources")


def claim_template(obj: Object) -> None:
    """An entry of a StatefulSet's ``volumeClaimTemplates``."""
    fill_empty(obj, apiVersion="v1", kind="PersistentVolumeClaim")
    child(obj, "metadata")
    claim(obj)


def persistent_volume(obj: Object) -> None:
    spec = child(obj, "spec")
    fill_empty(child(obj, "status"), phase="Pending")
    fill_empty(spec, persistentVolumeReclaimPolicy="Retain")
    fill(spec, volumeMode="Filesystem")
    resource_lists(spec, "capacity")
    network_source(spec)


DEFAULTS = {("", "PersistentVolume"): persistent_volume, ("", "PersistentVolumeClaim"): claim}
