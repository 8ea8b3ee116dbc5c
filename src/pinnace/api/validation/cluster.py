"""Kinds of cluster administration: webhooks, CRDs, API services, certificates, flow control, runtimes, CSI."""

from __future__ import annotations

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from pinnace.api.types import Object
from pinnace.api.validation import scheduling
from pinnace.api.validation.common import requirements
from pinnace.api.validation.diffs import unified
from pinnace.api.validation.metadata import immutable, one_of, wrong
from pinnace.api.validation.volumes import csi_driver_name

Errors = list[FieldError]

_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def api_service(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec, name = new.get("spec") or {}, (new.get("metadata") or {}).get("name") or ""
    group, version = spec.get("group") or "", spec.get("version") or ""
    wanted = f"{version}.{group}"
    if old is None and name != wanted:
        why = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        errors.append(invalid_value("metadata.name", name, why))
    if not version:
        errors.append(required("spec.version"))
    for key, low, high in (("groupPriorityMinimum", 1, 20000), ("versionPriority", 1, 1000)):
        value = spec.get(key) or 0
        if not low <= value <= high:
            why = f"must be positive and less than {high}"
            errors.append(invalid_value(f"spec.{key}", value, why))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            why = "local APIServices may not have a caBundle"
            errors.append(invalid_value("spec.caBundle", f"{len(spec['caBundle'])} bytes", why))
        if spec.get("insecureSkipTLSVerify"):
            why = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid_value("spec.insecureSkipTLSVerify", True, why))
        return
    for key in ("namespace", "name"):
        if not service.get(key):
            errors.append(required(f"spec.service.{key}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        why = "may not be true if caBundle is present"
        errors.append(invalid_value("spec.insecureSkipTLSVerify", True, why))


def _signer(errors: Errors, field: str, name: str) -> None:
    if not name:
        errors.append(required(field))
        return
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(invalid_value(field, name, why))
        return
    wrong(errors, field, domain, f.dns_subdomain(domain))
    if domain.count(".") < 1:
        errors.append(invalid_value(field, domain, "should be a domain with at least two segments separated by dots"))
    wrong(errors, field, path, f.dns_subdomain(path))


def certificate_signing_request(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec, status = new.get("spec") or {}, new.get("status") or {}
    usages = spec.get("usages") or []
    if not spec.get("request"):
        errors.append(invalid_value("spec.request", "", "PEM block type must be CERTIFICATE REQUEST"))
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, _USAGES))
        if usage in usages[:index]:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
    if spec.get("signerName") == "kubernetes.io/legacy-unknown":
        why = "the legacy signerName is not allowed via this API version"
        errors.append(invalid_value("spec.signerName", spec["signerName"], why))
    else:
        _signer(errors, "spec.signerName", spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid_value("spec.expirationSeconds", seconds, why))
    conditions = status.get("conditions") or []
    held = {c.get("type") for c in conditions}
    for index, condition in enumerate(conditions):
        if not condition.get("type"):
            errors.append(required(f"status.conditions[{index}].type"))
        if not condition.get("status"):
            errors.append(required(f"status.conditions[{index}].status"))
    if {"Approved", "Denied"} <= held:
        why = "Approved and Denied conditions are mutually exclusive"
        errors.append(invalid_value("status.conditions", conditions, why))
    if old is not None:
        _csr_update(errors, status, old.get("status") or {}, subresource)


def _csr_update(errors: Errors, new: Object, old: Object, subresource: str) -> None:
    for type in ("Approved", "Denied", "Failed"):
        was, now = ([c for c in s.get("conditions") or () if c.get("type") == type] for s in (old, new))
        at = "status.conditions"
        if len(now) < len(was):
            errors.append(forbidden_field(at, f'updates may not remove a condition of type "{type}"'))
        elif subresource != "approval" and type != "Failed":
            if len(now) > len(was):
                errors.append(forbidden_field(at, f'updates may not add a condition of type "{type}"'))
            elif now != was:
                why = f'updates may not modify a condition of type "{type}"\n{unified(was, now)}'
                errors.append(forbidden_field(at, why))
    if new.get("certificate") != old.get("certificate"):
        if subresource != "status":
            errors.append(forbidden_field("status.certificate", "updates may not set certificate content"))
        elif old.get("certificate"):
            why = "updates may not modify existing certificate content"
            errors.append(forbidden_field("status.certificate", why))


def flow_schema(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec, name = new.get("spec") or {}, (new.get("metadata") or {}).get("name")
    precedence, at = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        errors.append(invalid_value(at, precedence, "must be a positive value"))
    if precedence > 10000:
        errors.append(invalid_value(at, precedence, "must not be greater than 10000"))
    if precedence == 1 and name != "exempt":
        errors.append(invalid_value(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        errors.append(not_supported("spec.distinguisherMethod.type", method, ("ByNamespace", "ByUser")))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    if level:
        wrong(errors, "spec.priorityLevelConfiguration.name", level, f.dns_subdomain(level))
    else:
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))


def priority_level(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec, name = new.get("spec") or {}, (new.get("metadata") or {}).get("name")
    type, limited = spec.get("type") or "", spec.get("limited")
    if (name == "exempt") != (type == "Exempt"):
        errors.append(invalid_value("spec.type", type, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if type == "Exempt":
        if limited is not None:
            errors.append(forbidden_field("spec.limited", "must be nil if the type is not Limited"))
    elif type == "Limited":
        if spec.get("exempt") is not None:
            errors.append(forbidden_field("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            response = (limited.get("limitResponse") or {}).get("type")
            one_of(errors, "spec.limited.limitResponse.type", response, ("Queue", "Reject"))
    else:
        one_of(errors, "spec.type", type, ("Exempt", "Limited"))


def runtime_class(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    handler = new.get("handler") or ""
    if old is not None:
        immutable(errors, "handler", handler, old.get("handler") or "")
        return
    if not handler:
        errors.append(required("handler"))
    else:
        wrong(errors, "handler", handler, f.dns_label(handler))
    if new.get("overhead"):
        requirements(errors, "overhead", {"limits": new["overhead"].get("podFixed")})
    if new.get("scheduling"):
        scheduling.tolerations(errors, "scheduling.tolerations", new["scheduling"].get("tolerations") or ())


def csi_driver(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    if old is None:
        csi_driver_name(errors, "metadata.name", (new.get("metadata") or {}).get("name") or "")
    for index, mode in enumerate(spec.get("volumeLifecycleModes") or ()):
        if mode not in ("Ephemeral", "Persistent"):
            errors.append(not_supported(f"spec.volumeLifecycleModes[{index}]", mode, ("Ephemeral", "Persistent")))
    audiences: set[str] = set()
    for index, token in enumerate(spec.get("tokenRequests") or ()):
        audience = token.get("audience") or ""
        if audience in audiences:
            errors.append(duplicate(f"spec.tokenRequests[{index}].audience", audience))
        audiences.add(audience)


def csi_node(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    names: set[str] = set()
    for index, driver in enumerate((new.get("spec") or {}).get("drivers") or ()):
        at, name = f"spec.drivers[{index}]", driver.get("name") or ""
        csi_driver_name(errors, f"{at}.name", name)
        if not driver.get("nodeID"):
            errors.append(required(f"{at}.nodeID"))
        if name in names:
            errors.append(duplicate(f"{at}.name", name))
        names.add(name)
