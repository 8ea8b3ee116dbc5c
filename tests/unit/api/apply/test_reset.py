"""What each endpoint lets nobody own, where kinds differ."""

from __future__ import annotations

import pytest

from pinnace.api.apply import fieldset, reset
from pinnace.api.types import GVK, Object

OBJECT: Object = {
    "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:ownerReferences": {}},
    "f:spec": {
        "f:containers": {
            'k:{"name":"c"}': {".": {}, "f:image": {}, "f:resources": {"f:limits": {"f:cpu": {}}}, "f:resizePolicy": {}}
        },
        "f:ephemeralContainers": {'k:{"name":"e"}': {".": {}, "f:image": {}}},
    },
    "f:status": {"f:certificate": {}, "f:conditions": {}},
}


def left(group: str, kind: str, subresource: str, *, custom: bool = False, has_status: bool = True) -> set[str]:
    ignored = reset.fields(GVK(group, "v1", kind), subresource, custom=custom, has_status=has_status)
    return {fieldset.shown(path) for path in fieldset.paths(ignored.rest(OBJECT))}


STATUS = {".status.certificate", ".status.conditions"}
LABELS = {".metadata.labels", ".metadata.labels.a"}
METADATA = {*LABELS, ".metadata.ownerReferences"}


@pytest.mark.parametrize(
    ("group", "kind", "subresource", "expected"),
    [
        ("apps", "ReplicaSet", "status", METADATA | STATUS),
        ("apps", "Deployment", "status", {".metadata.ownerReferences"} | STATUS),
        ("", "Pod", "status", LABELS | STATUS),
        ("networking.k8s.io", "ServiceCIDR", "status", STATUS),
        ("storage.k8s.io", "VolumeAttachment", "status", STATUS),
        ("certificates.k8s.io", "CertificateSigningRequest", "", METADATA),
        ("certificates.k8s.io", "CertificateSigningRequest", "approval", METADATA | {".status.conditions"}),
        ("certificates.k8s.io", "CertificateSigningRequest", "status", METADATA | {".status.certificate"}),
        ("apiextensions.k8s.io", "CustomResourceDefinition", "status", METADATA | STATUS),
        (
            "",
            "Pod",
            "resize",
            {
                '.spec.containers[name="c"]',
                '.spec.containers[name="c"].resizePolicy',
                '.spec.containers[name="c"].resources.limits.cpu',
            },
        ),
        (
            "",
            "Pod",
            "ephemeralcontainers",
            {'.spec.ephemeralContainers[name="e"]', '.spec.ephemeralContainers[name="e"].image'},
        ),
    ],
)
def test_endpoints_leave_what_upstreams_do(group: str, kind: str, subresource: str, expected: set[str]) -> None:
    assert left(group, kind, subresource) == expected


def test_custom_resources_have_one_owner_of_everything_without_a_status_endpoint() -> None:
    assert left("x.y", "Z", "", custom=True) & STATUS == set()
    assert left("x.y", "Z", "status", custom=True) == STATUS
    assert left("x.y", "Z", "", custom=True, has_status=False) >= STATUS
