"""The fields that field selectors may look at, kind by kind (upstream's field label conversions and ``GetAttrs``).

``metadata.name`` and ``metadata.namespace`` work for every kind; ``selectable`` leaves them to the caller.
"""

from __future__ import annotations

from collections.abc import Callable

from pinnace.api.errors import go_quote
from pinnace.api.types import GVK, Object

_COMMON = frozenset(("metadata.name", "metadata.namespace"))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _part(obj: Object, name: str) -> Object:
    part = obj.get(name)
    return part if isinstance(part, dict) else {}


def _pod(pod: Object) -> dict[str, str]:
    spec, status = _part(pod, "spec"), _part(pod, "status")
    ips = status.get("podIPs")
    address = ips[0].get("ip") if ips else status.get("podIP")
    return {
        "spec.nodeName": _text(spec.get("nodeName")),
        "spec.restartPolicy": _text(spec.get("restartPolicy")),
        "spec.schedulerName": _text(spec.get("schedulerName")),
        "spec.serviceAccountName": _text(spec.get("serviceAccountName")),
        "spec.hostNetwork": _text(bool(spec.get("hostNetwork"))),
        "status.phase": _text(status.get("phase")),
        "status.podIP": _text(address),
        "status.nominatedNodeName": _text(status.get("nominatedNodeName")),
    }


_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _core_event(event: Object) -> dict[str, str]:
    involved = _part(event, "involvedObject")
    reporter = _text(event.get("reportingComponent"))
    return {
        **{f"involvedObject.{name}": _text(involved.get(name)) for name in _REFERENCE},
        "reason": _text(event.get("reason")),
        "reportingComponent": reporter,
        "source": _text(_part(event, "source").get("component")) or reporter,
        "type": _text(event.get("type")),
    }


def _event(event: Object) -> dict[str, str]:
    regarding = _part(event, "regarding")
    return {
        **{f"regarding.{name}": _text(regarding.get(name)) for name in _REFERENCE},
        "reason": _text(event.get("reason")),
        "reportingController": _text(event.get("reportingController")),
        "type": _text(event.get("type")),
    }


def _paths(*paths: str, zero: str = "") -> Callable[[Object], dict[str, str]]:
    """Reads ``part.member`` or top-level fields; ``zero`` is the text of an absent one."""
    split = [(path, path.split(".")) for path in paths]

    def read(obj: Object) -> dict[str, str]:
        found = {}
        for path, parts in split:
            holder = _part(obj, parts[0]) if len(parts) == 2 else obj
            found[path] = _text(holder.get(parts[-1])) or zero
        return found

    return read


_SIGNER = _paths("spec.signerName")
_READERS: dict[tuple[str, str], Callable[[Object], dict[str, str]]] = {
    ("", "Pod"): _pod,
    ("", "Event"): _core_event,
    ("events.k8s.io", "Event"): _event,
    ("", "Node"): _paths("spec.unschedulable", zero="false"),
    ("", "Secret"): _paths("type"),
    ("", "Namespace"): _paths("status.phase"),
    ("", "Service"): _paths("spec.clusterIP", "spec.type"),
    ("", "ReplicationController"): _paths("status.replicas", zero="0"),
    ("apps", "ReplicaSet"): _paths("status.replicas", zero="0"),
    ("batch", "Job"): lambda job: {"status.successful": _text(_part(job, "status").get("succeeded")) or "0"},
    ("certificates.k8s.io", "CertificateSigningRequest"): _SIGNER,
    ("certificates.k8s.io", "ClusterTrustBundle"): _SIGNER,
    ("certificates.k8s.io", "PodCertificateRequest"): _paths("spec.signerName", "spec.podName", "spec.nodeName"),
    ("resource.k8s.io", "ResourceSlice"): _paths("spec.nodeName", "spec.driver"),
}
_NO_NAMESPACE = {
    ("", "Node"),
    ("", "Namespace"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("resource.k8s.io", "ResourceSlice"),
}
_SUPPORTED = {
    kind: frozenset(read({})) | (_COMMON - {"metadata.namespace"} if kind in _NO_NAMESPACE else _COMMON)
    for kind, read in _READERS.items()
}


def selectable(gvk: GVK, obj: Object) -> dict[str, str]:
    """The values that field selectors see of ``obj``, beyond its name and namespace."""
    read = _READERS.get((gvk.group, gvk.kind))
    return read(obj) if read is not None else {}


def supported(gvk: GVK) -> frozenset[str]:
    """The field labels a selector may name for this kind."""
    return _SUPPORTED.get((gvk.group, gvk.kind), _COMMON)


def unsupported_message(gvk: GVK, label: str) -> str:
    """What the 400 answer says of a label that is not among ``supported``."""
    match gvk.group, gvk.kind:
        case "batch", "Job":
            return f"field label {go_quote(label)} not supported for Job"
        case ("resource.k8s.io", "ResourceSlice"):
            return f"field label not supported for ResourceSlice: {label}"
        case kind if kind in _READERS and kind != ("apps", "ReplicaSet"):
            return f"field label not supported: {label}"
        case _:
            return f'{go_quote(label)} is not a known field selector: only "metadata.name", "metadata.namespace"'
