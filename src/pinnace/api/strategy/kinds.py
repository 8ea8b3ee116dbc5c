"""The rules of all kinds that need no module of their own."""

from __future__ import annotations

import base64

from pinnace.api import meta
from pinnace.api.patches.json_patch import equal
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import Object


def _secret(secret: Object) -> None:
    """``stringData`` is write-only: it becomes ``data``."""
    texts = secret.pop("stringData", None)
    if texts:
        data = dict(secret.get("data") or {})
        data.update({key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()})
        secret["data"] = data


def _signing_request_create(request: Object) -> None:
    request["status"] = {}


def _signing_request_update(new: Object, old: Object) -> None:
    new["spec"] = old.get("spec") or {}


def _approval(new: Object, old: Object) -> None:
    """The approval endpoint changes only the conditions."""
    status = dict(old.get("status") or {})
    status.pop("conditions", None)
    if conditions := (new.get("status") or {}).get("conditions"):
        status["conditions"] = conditions
    new["spec"], new["status"] = old.get("spec") or {}, status


def _csr_status(new: Object, old: Object) -> None:
    """The status endpoint leaves the decisions as they are; one more or less is validation's to refuse."""
    status = new["status"] = dict(new.get("status") or {})
    conditions = list(status.get("conditions") or ())
    for type in ("Approved", "Denied"):
        held = [c for c in (old.get("status") or {}).get("conditions") or () if c.get("type") == type]
        places = [index for index, condition in enumerate(conditions) if condition.get("type") == type]
        if len(held) == len(places):
            for index, condition in zip(places, held, strict=True):
                conditions[index] = condition
    if conditions:
        status["conditions"] = conditions


def _persistent_volume(volume: Object) -> None:
    status: Object = {"phase": "Pending"}
    created = meta.metadata(volume).get("creationTimestamp")
    if created:
        status["lastPhaseTransitionTime"] = created
    volume["status"] = status


def _autoscaler_create(scaler: Object) -> None:
    first = scaler.get("apiVersion") == "autoscaling/v1"
    scaler["status"] = {"desiredReplicas": 0, "currentReplicas" if first else "currentMetrics": 0 if first else None}


def _stored_versions(definition: Object) -> None:
    """The version in which objects are now stored joins those in which some may still be."""
    status = definition["status"] = dict(definition.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in (definition.get("spec") or {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version.get("name"))
    status["storedVersions"] = stored


def _definition_create(definition: Object) -> None:
    definition["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
    _stored_versions(definition)


def _api_service_create(service: Object) -> None:
    service["status"] = {}
    if (service.get("spec") or {}).get("service") is None:
        condition = {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": meta.metadata(service).get("creationTimestamp"),
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        service["status"] = {"conditions": [condition]}


def _slice_update(new: Object, old: Object) -> None:
    """An EndpointSlice's generation follows its content and its labels."""
    same = all(equal(new.get(name), old.get(name)) for name in ("addressType", "endpoints", "ports"))
    if same and meta.labels(new) != meta.labels(old):
        new["metadata"]["generation"] = meta.generation(old) + 1


_POLICY = Rules(generation="spec")
_HOOKS = Rules(generation="content")
_WITH_STATUS = Rules(generation="spec", status=True, initial_status={}, reset_metadata=True)
_SECRET = Rules(on_create=_secret, on_update=lambda new, old: _secret(new))

RULES: dict[tuple[str, str], Rules] = {
    ("", "Secret"): _SECRET,
    ("", "PodTemplate"): _HOOKS,
    ("", "Service"): Rules(status=True, initial_status={"loadBalancer": {}}),
    ("", "Node"): Rules(status=True, keep_status_on_create=True),
    ("", "PersistentVolume"): Rules(status=True, keep_status_on_create=True, on_create=_persistent_volume),
    ("", "PersistentVolumeClaim"): Rules(status=True, initial_status={"phase": "Pending"}),
    ("", "ResourceQuota"): Rules(status=True, initial_status={}),
    ("networking.k8s.io", "Ingress"): Rules(generation="spec", status=True, initial_status={"loadBalancer": {}}),
    ("networking.k8s.io", "NetworkPolicy"): Rules(generation="spec"),
    ("networking.k8s.io", "IngressClass"): Rules(generation="spec"),
    ("networking.k8s.io", "ServiceCIDR"): Rules(status=True, initial_status={}, reset_metadata=True),
    ("policy", "PodDisruptionBudget"): Rules(
        generation="spec",
        status=True,
        initial_status={"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Rules(
        generation="spec", status=True, keep_status_on_create=True, on_create=_autoscaler_create
    ),
    ("discovery.k8s.io", "EndpointSlice"): Rules(generation="content", on_update=_slice_update),
    ("storage.k8s.io", "CSIDriver"): Rules(generation="spec"),
    ("storage.k8s.io", "VolumeAttachment"): Rules(status=True, initial_status={"attached": False}, reset_metadata=True),
    ("certificates.k8s.io", "CertificateSigningRequest"): Rules(
        status=True,
        initial_status={},
        on_create=_signing_request_create,
        on_update=_signing_request_update,
        on_status_update=_csr_status,
        subresources={"approval": _approval},
    ),
    ("certificates.k8s.io", "PodCertificateRequest"): Rules(status=True, initial_status={}, reset_metadata=True),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Rules(
        generation="spec",
        status=True,
        keep_status_on_create=True,
        on_create=_definition_create,
        on_update=lambda new, old: _stored_versions(new),
    ),
    ("apiregistration.k8s.io", "APIService"): Rules(
        status=True, keep_status_on_create=True, reset_metadata=True, on_create=_api_service_create
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _WITH_STATUS,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _WITH_STATUS,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _HOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _HOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _WITH_STATUS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _POLICY,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): _POLICY,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _POLICY,
    ("resource.k8s.io", "ResourceClaim"): Rules(status=True, initial_status={}, reset_metadata=True),
    ("resource.k8s.io", "ResourceSlice"): Rules(generation="spec"),
    ("resource.k8s.io", "DeviceClass"): Rules(generation="spec"),
    ("resource.k8s.io", "DeviceTaintRule"): _WITH_STATUS,
    ("resource.k8s.io", "ResourcePoolStatusRequest"): Rules(status=True, reset_metadata=True),
    ("scheduling.k8s.io", "PodGroup"): Rules(status=True, initial_status={}, reset_metadata=True),
    ("internal.apiserver.k8s.io", "StorageVersion"): Rules(status=True, initial_status={}, reset_metadata=True),
    ("storagemigration.k8s.io", "StorageVersionMigration"): Rules(status=True, initial_status={}, reset_metadata=True),
}
