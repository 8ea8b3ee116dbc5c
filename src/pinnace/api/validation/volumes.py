"""A Pod's volumes, of every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinnace.api import formats as f
from pinnace.api import quantity
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from pinnace.api.types import Object
from pinnace.api.validation import references
from pinnace.api.validation.common import file_mode, local_path, no_backsteps
from pinnace.api.validation.metadata import label_selector, one_of, wrong

Errors = list[FieldError]

_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_EMPTY_DIR_MODE = "must be a number between 0 and 01777 (octal), both inclusive"
#: The required fields of the sources that have nothing else to check.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "gitRepo": ("repository",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "quobyte": ("registry", "volume"),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": ("volumeName",),
    "flocker": (),
    "fc": (),
}


def _user(errors: Errors, field: str, user: int | None) -> None:
    if user is not None:
        wrong(errors, field, user, f.user_id(user))


def _empty_dir(errors: Errors, field: str, source: Object) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit).nano < 0:
        errors.append(forbidden_field(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity"))
    mode = source.get("mode")
    if mode is not None and not 0 <= mode <= 0o1777:
        errors.append(invalid_value(f"{field}.mode", mode, _EMPTY_DIR_MODE))


def _host_path(errors: Errors, field: str, source: Object) -> None:
    path, type = source.get("path") or "", source.get("type")
    if not path:
        errors.append(required(f"{field}.path"))
        return
    no_backsteps(errors, f"{field}.path", path)
    if type is not None and type not in _HOST_PATH_TYPES:
        errors.append(not_supported(f"{field}.type", type, _HOST_PATH_TYPES))


def _item(errors: Errors, field: str, item: Object) -> None:
    if not item.get("key"):
        errors.append(required(f"{field}.key"))
    if not item.get("path"):
        errors.append(required(f"{field}.path"))
    local_path(errors, f"{field}.path", item.get("path") or "")
    file_mode(errors, f"{field}.mode", item.get("mode"))
    _user(errors, f"{field}.user", item.get("user"))


def _files(name: str) -> Callable[[Errors, str, Object], None]:
    """The check of a volume of a Secret's or ConfigMap's keys, whose name is in field ``name``."""

    def check(errors: Errors, field: str, source: Object) -> None:
        if not source.get(name):
            errors.append(required(f"{field}.{name}"))
        file_mode(errors, f"{field}.defaultMode", source.get("defaultMode"))
        _user(errors, f"{field}.defaultUser", source.get("defaultUser"))
        for index, item in enumerate(source.get("items") or ()):
            _item(errors, f"{field}.items[{index}]", item)

    return check


def _nfs(errors: Errors, field: str, source: Object) -> None:
    path = source.get("path") or ""
    if not source.get("server"):
        errors.append(required(f"{field}.server"))
    if not path:
        errors.append(required(f"{field}.path"))
    if not path.startswith("/"):
        errors.append(invalid_value(f"{field}.path", path, "must be an absolute path"))


def _downward_file(errors: Errors, field: str, file: Object) -> None:
    if not file.get("path"):
        errors.append(required(f"{field}.path"))
    local_path(errors, f"{field}.path", file.get("path") or "")
    field_ref, resource_ref = file.get("fieldRef"), file.get("resourceFieldRef")
    if field_ref is not None:
        references.field_ref(errors, f"{field}.fieldRef", field_ref, references.VOLUME_FIELDS)
        if resource_ref is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid_value(field, "resource", why))
    elif resource_ref is not None:
        references.resource_ref(errors, f"{field}.resourceFieldRef", resource_ref, volume=True)
    else:
        errors.append(required(field, "one of fieldRef and resourceFieldRef is required"))
    file_mode(errors, f"{field}.mode", file.get("mode"))
    _user(errors, f"{field}.user", file.get("user"))


def _downward(errors: Errors, field: str, source: Object) -> None:
    file_mode(errors, f"{field}.defaultMode", source.get("defaultMode"))
    _user(errors, f"{field}.defaultUser", source.get("defaultUser"))
    for file in source.get("items") or ():
        _downward_file(errors, field, file)


class _Projection:
    """The sources of one projected volume, whose paths must differ."""

    def __init__(self, errors: Errors, field: str) -> None:
        self.errors = errors
        self.field = field
        self.paths: set[str] = set()

    def claim(self, path: str, shown: Any = None) -> None:
        if path in self.paths:
            self.errors.append(invalid_value(self.field, shown or path, "conflicting duplicate paths"))
        self.paths.add(path)

    def keys(self, at: str, source: Object) -> None:
        name = source.get("name") or ""
        if not name:
            self.errors.append(required(f"{at}.name"))
        for index, item in enumerate(source.get("items") or ()):
            _item(self.errors, f"{at}.items[{index}]", item)
            if item.get("path"):
                self.claim(item["path"], name)

    def downward(self, at: str, source: Object) -> None:
        for file in source.get("items") or ():
            _downward_file(self.errors, at, file)
            if file.get("path"):
                self.claim(file["path"])

    def token(self, at: str, source: Object) -> None:
        seconds, path = source.get("expirationSeconds"), source.get("path")
        if seconds is None:
            self.errors.append(required(f"{at}.expirationSeconds"))
        elif seconds < 600:
            why = "may not specify a duration less than 10 minutes"
            self.errors.append(invalid_value(f"{at}.expirationSeconds", seconds, why))
        elif seconds > 1 << 32:
            why = "may not specify a duration larger than 2^32 seconds"
            self.errors.append(invalid_value(f"{at}.expirationSeconds", seconds, why))
        if not path:
            self.errors.append(required(f"{self.field}.path"))
        else:
            local_path(self.errors, f"{self.field}.path", path)
        _user(self.errors, f"{at}.user", source.get("user"))

    def trust_bundle(self, at: str, source: Object) -> None:
        name, signer = source.get("name"), source.get("signerName")
        if name is not None and signer is not None:
            self.errors.append(invalid_value(at, source, "only one of name and signerName may be used"))
        elif name is not None:
            if not name:
                self.errors.append(required(f"{at}.name", "must be a valid object name"))
            if source.get("labelSelector") is not None:
                why = "labelSelector must be unset if name is specified"
                self.errors.append(invalid_value(f"{at}.labelSelector", source["labelSelector"], why))
        elif signer is not None:
            if not signer:
                self.errors.append(required(f"{at}.signerName", "must be a valid signer name"))
            label_selector(self.errors, f"{at}.labelSelector", source.get("labelSelector"))
        else:
            self.errors.append(required(at, "either name or signerName must be specified"))
        if not source.get("path"):
            self.errors.append(required(f"{at}.path"))
        local_path(self.errors, f"{at}.path", source.get("path") or "")
        self.claim(source.get("path") or "")

    def certificate(self, at: str, source: Object) -> None:
        if source.get("keyType") not in _KEY_TYPES:
            self.errors.append(not_supported(f"{at}.keyType", source.get("keyType") or "", _KEY_TYPES))
        keys = [k for k in ("credentialBundlePath", "keyPath", "certificateChainPath") if source.get(k)]
        for key in keys:
            local_path(self.errors, f"{at}.{key}", source[key])
            self.claim(source[key])
        if not keys:
            why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
            self.errors.append(required(at, why))

    def source(self, at: str, source: Object) -> None:
        checks = {
            "secret": self.keys,
            "configMap": self.keys,
            "downwardAPI": self.downward,
            "serviceAccountToken": self.token,
            "clusterTrustBundle": self.trust_bundle,
            "podCertificate": self.certificate,
        }
        found = [key for key in checks if source.get(key) is not None]
        for key in found:
            checks[key](f"{at}.{key}", source[key])
        if len(found) > 1:
            self.errors.append(forbidden_field(at, "may not specify more than 1 volume type per source"))


def _projected(errors: Errors, field: str, source: Object) -> None:
    file_mode(errors, f"{field}.defaultMode", source.get("defaultMode"))
    _user(errors, f"{field}.defaultUser", source.get("defaultUser"))
    projection = _Projection(errors, field)
    for index, item in enumerate(source.get("sources") or ()):
        projection.source(f"{field}.sources[{index}]", item)


def csi_driver_name(errors: Errors, field: str, name: str) -> None:
    if not name:
        errors.append(required(field))
        return
    if len(name) > 63:
        errors.append(too_long(field, 63))
    wrong(errors, field, name, f.dns_subdomain(name.lower()))


def _csi(errors: Errors, field: str, source: Object) -> None:
    csi_driver_name(errors, f"{field}.driver", source.get("driver") or "")
    ref = source.get("nodePublishSecretRef")
    if ref is not None and not ref.get("name"):
        errors.append(required(f"{field}.nodePublishSecretRef.name"))


def _ephemeral(errors: Errors, field: str, source: Object) -> None:
    from pinnace.api.validation.storage import claim_template

    template = source.get("volumeClaimTemplate")
    if template is None:
        errors.append(required(f"{field}.volumeClaimTemplate"))
    else:
        claim_template(errors, f"{field}.volumeClaimTemplate", template)


def _image(errors: Errors, field: str, source: Object) -> None:
    if not source.get("reference"):
        errors.append(required(f"{field}.reference"))
    one_of(errors, f"{field}.pullPolicy", source.get("pullPolicy"), _PULL_POLICIES)


def _simple(name: str) -> Callable[[Errors, str, Object], None]:
    def check(errors: Errors, field: str, source: Object) -> None:
        for key in _REQUIRED[name]:
            if not source.get(key):
                errors.append(required(f"{field}.{key}"))

    return check


#: In upstream's order: of two sources, the later one is the one too many.
_SOURCES: dict[str, Callable[[Errors, str, Object], None]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _simple("gitRepo"),
    "gcePersistentDisk": _simple("gcePersistentDisk"),
    "awsElasticBlockStore": _simple("awsElasticBlockStore"),
    "secret": _files("secretName"),
    "nfs": _nfs,
    **{key: _simple(key) for key in ("iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder")},
    "cephfs": _simple("cephfs"),
    "quobyte": _simple("quobyte"),
    "downwardAPI": _downward,
    "fc": _simple("fc"),
    "flexVolume": _simple("flexVolume"),
    "configMap": _files("name"),
    **{key: _simple(key) for key in ("azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume")},
    "azureDisk": _simple("azureDisk"),
    "storageos": _simple("storageos"),
    "projected": _projected,
    "scaleIO": _simple("scaleIO"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}


def _source(errors: Errors, field: str, volume: Object, pod_name: str) -> None:
    found = [key for key in volume if key in _SOURCES and volume[key] is not None]
    if not found:
        errors.append(required(field, "must specify a volume type"))
        return
    if len(found) > 1:
        found = [key for key in _SOURCES if key in found]
    _SOURCES[found[0]](errors, f"{field}.{found[0]}", volume[found[0]])
    for key in found[1:]:
        errors.append(forbidden_field(f"{field}.{key}", "may not specify more than 1 volume type"))
    if found[0] == "ephemeral" and pod_name and volume.get("name"):
        claim = f"{pod_name}-{volume['name']}"
        problems = [f'PVC name "{claim}": {problem}' for problem in f.dns_subdomain(claim)]
        wrong(errors, f"{field}.name", volume["name"], problems)


def validate(errors: Errors, field: str, volumes: list[Object], pod_name: str) -> dict[str, Object]:
    """Check a Pod's volumes; the valid ones by name, for what refers to them."""
    valid: dict[str, Object] = {}
    created = {f"{pod_name}-{v.get('name')}" for v in volumes if pod_name and v.get("ephemeral") is not None}
    for index, volume in enumerate(volumes):
        at, name, before = f"{field}[{index}]", volume.get("name") or "", len(errors)
        _source(errors, at, volume, pod_name)
        if not name:
            errors.append(required(f"{at}.name"))
        elif problems := f.dns_label(name):
            wrong(errors, f"{at}.name", name, problems)
        if name in valid:
            errors.append(duplicate(f"{at}.name", name))
        if len(errors) == before:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in created:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid_value(f"{at}.persistentVolumeClaim.claimName", claim, why))
    return valid
