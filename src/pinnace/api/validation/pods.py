"""Pods and Pod templates: the spec, what an update may change, and the status."""

from __future__ import annotations

import re
from typing import Any

from pinnace.api import formats as f
from pinnace.api import pods as pod_facts
from pinnace.api import qos, quantity
from pinnace.api.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from pinnace.api.types import Object
from pinnace.api.validation import containers, metadata, scheduling, security, volumes
from pinnace.api.validation.common import MAX_INT32, amount, container_resource_name, requirements
from pinnace.api.validation.diffs import unified
from pinnace.api.validation.metadata import immutable, one_of, wrong
from pinnace.core.memo import Remembered, written

Errors = list[FieldError]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


#: Specs of Pods and of templates that had nothing wrong.
_sound_pods: Remembered[None] = Remembered(512)
_sound_templates: Remembered[None] = Remembered(512)
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")


def spec(errors: Errors, field: str, value: Object, pod_name: str = "") -> None:
    """A PodSpec; ``pod_name`` is empty for templates. What was sound once is not looked at again: Pods of one template
    share the work."""
    sound = _sound_pods if pod_name else _sound_templates
    what = _template_of(value)
    if what in sound:
        return
    before = len(errors)
    _spec(errors, field, value, pod_name)
    if len(errors) == before:
        sound.keep(what, None)


def _template_of(value: Object) -> bytes:
    """What decides whether a spec is sound: all of it but the generated name of its token volume, of which the form
    alone matters. Empty for what depends on the Pod's name, and for what is not to be remembered."""
    text = written(value)
    for volume in value.get("volumes") or ():
        if volume.get("ephemeral") is not None:
            return b""
        name = volume.get("name") or ""
        if _TOKEN_VOLUME.fullmatch(name):
            # A null byte is in no JSON text, so nothing else is written as this; a second name stays what it is.
            return text.replace(name.encode(), b"\0")
    return text


def _spec(errors: Errors, field: str, value: Object, pod_name: str) -> None:
    if value.get("terminationGracePeriodSeconds") is None:
        errors.append(required(f"{field}.terminationGracePeriodSeconds"))
    valid: dict[str, Object] = {}
    if declared := value.get("volumes"):
        valid = volumes.validate(errors, f"{field}.volumes", declared, pod_name)
    claims = {c.get("name") or "" for c in value.get("resourceClaims") or ()}
    if claims:
        _resource_claims(errors, f"{field}.resourceClaims", value["resourceClaims"])
    context = containers.Context(value, valid, claims)
    containers.main(errors, f"{field}.containers", value.get("containers") or [], context)
    if value.get("initContainers"):
        containers.init(errors, f"{field}.initContainers", value["initContainers"], context)
    if value.get("ephemeralContainers"):
        containers.ephemeral(errors, f"{field}.ephemeralContainers", value["ephemeralContainers"], context)
    if value.get("resources"):
        _pod_resources(errors, field, value)
    if value.get("hostNetwork"):
        _host_network(errors, field, value, bool(pod_name))
    policy = value.get("restartPolicy")
    if policy not in _RESTART_POLICIES:
        one_of(errors, f"{field}.restartPolicy", policy, _RESTART_POLICIES)
    if value.get("dnsPolicy") not in _DNS_POLICIES:
        one_of(errors, f"{field}.dnsPolicy", value.get("dnsPolicy"), _DNS_POLICIES)
    metadata.labels(errors, f"{field}.nodeSelector", value.get("nodeSelector"))
    if context_of_pod := value.get("securityContext"):
        security.pod(errors, f"{field}.securityContext", context_of_pod, value)
    if value.get("shareProcessNamespace") and value.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid_value(f"{field}.shareProcessNamespace", True, why))
    if value.get("affinity"):
        scheduling.affinity(errors, f"{field}.affinity", value["affinity"])
    if value.get("dnsConfig") is not None or value.get("dnsPolicy") == "None":
        _dns_config(errors, f"{field}.dnsConfig", value)
    for index, gate in enumerate(value.get("readinessGates") or ()):
        type = gate.get("conditionType") or ""
        wrong(errors, f"{field}.readinessGates[{index}].conditionType", type, f.label_key(type))
    _scheduling_gates(errors, f"{field}.schedulingGates", value.get("schedulingGates") or [])
    if value.get("topologySpreadConstraints"):
        scheduling.topology_spread(errors, f"{field}.topologySpreadConstraints", value["topologySpreadConstraints"])
    if value.get("hostUsers") is False:
        for key, name in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if value.get(key):
                errors.append(forbidden_field(f"{field}.{name}", "when `hostUsers` is false"))
    _names(errors, field, value)
    if value.get("tolerations"):
        scheduling.tolerations(errors, f"{field}.tolerations", value["tolerations"])
    for index, alias in enumerate(value.get("hostAliases") or ()):
        wrong(errors, f"{field}.hostAliases[{index}].ip", alias.get("ip") or "", f.ip(alias.get("ip") or ""))
        for position, host in enumerate(alias.get("hostnames") or ()):
            wrong(errors, f"{field}.hostAliases[{index}].hostnames[{position}]", host, f.dns_subdomain(host))
    _classes(errors, field, value)


def _names(errors: Errors, field: str, value: Object) -> None:
    override = value.get("hostnameOverride")
    if override is not None:
        for key in ("setHostnameAsFQDN", "hostNetwork"):
            if value.get(key):
                why = f"may not be specified when {key} is true"
                errors.append(forbidden_field(f"{field}.hostnameOverride", why))
        if len(override) > 64:
            errors.append(too_long(f"{field}.hostnameOverride", 64))
        wrong(errors, f"{field}.hostnameOverride", override, f.dns_subdomain(override))
    for key, check in (("serviceAccountName", f.dns_subdomain), ("nodeName", f.dns_subdomain)):
        if name := value.get(key):
            wrong(errors, f"{field}.{key}", name, check(name))
    deadline = value.get("activeDeadlineSeconds")
    if deadline is not None:
        wrong(errors, f"{field}.activeDeadlineSeconds", deadline, f.in_range(deadline, 1, MAX_INT32))
    for key in ("hostname", "subdomain"):
        if name := value.get(key):
            wrong(errors, f"{field}.{key}", name, f.dns_label(name))


def _classes(errors: Errors, field: str, value: Object) -> None:
    for key in ("priorityClassName", "runtimeClassName"):
        if name := value.get(key):
            wrong(errors, f"{field}.{key}", name, f.dns_subdomain(name))
    preemption = value.get("preemptionPolicy")
    if preemption is not None:
        one_of(errors, f"{field}.preemptionPolicy", preemption, ("PreemptLowerPriority", "Never"))
    for name, text in (value.get("overhead") or {}).items():
        container_resource_name(errors, f"{field}.overhead.limits[{name}]", name)
        amount(errors, f"{field}.overhead.limits[{name}]", name, text)
    os = value.get("os")
    if os is not None:
        if os.get("name") not in ("linux", "windows"):
            one_of(errors, f"{field}.os.name", os.get("name"), ("linux", "windows"))
        elif os["name"] == "linux":
            security.linux_only(errors, field, value)


def _resource_claims(errors: Errors, field: str, claims: list[Object]) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        elif name in seen:
            errors.append(duplicate(f"{at}.name", name))
        else:
            wrong(errors, f"{at}.name", name, f.dns_label(name))
        seen.add(name)
        sources = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(sources) != 1:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            if sources:
                why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid_value(at, claim, why))
        for key in sources:
            wrong(errors, f"{at}.{key}", claim[key], f.dns_subdomain(claim[key]))


def _pod_resources(errors: Errors, field: str, value: Object) -> None:
    resources, at = value["resources"], f"{field}.resources"
    if resources.get("claims") is not None:
        errors.append(forbidden_field(f"{at}.claims", "claims may not be set for Resources at pod-level"))
    requirements(errors, at, resources, pod_level=True)
    asked = resources.get("requests") or {}
    total = pod_facts.texts(pod_facts.container_totals({"spec": value}, "requests")) if asked else {}
    for name, text in total.items():
        if name in asked and quantity.compare(text, asked[name]) > 0:
            why = f"must be greater than or equal to aggregate container requests of {text}"
            errors.append(invalid_value(f"{at}.requests[{name}]", quantity.canonical(asked[name]), why))
    limits = resources.get("limits") or {}
    for index, container in enumerate(value.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.compare(text, limits[name]) > 0:
                why = f"must be less than or equal to pod limits of {quantity.canonical(limits[name])}"
                where = f"{at}.containers[{index}][{name}].limits"
                errors.append(invalid_value(where, quantity.canonical(text), why))


def _host_network(errors: Errors, field: str, value: Object, is_pod: bool) -> None:
    for index, container in enumerate(value.get("containers") or ()):
        for position, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != (port.get("containerPort") or 0):
                at = f"{field}.containers[{index}].ports[{position}].hostPort"
                errors.append(invalid_value(at, host, "must match `containerPort` when `hostNetwork` is true"))


def _dns_config(errors: Errors, field: str, value: Object) -> None:
    config = value.get("dnsConfig")
    if value.get("dnsPolicy") == "None":
        if config is None:
            errors.append(required(field, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{field}.nameservers", why))
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(invalid_value(f"{field}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        wrong(errors, f"{field}.nameservers[{index}]", server, f.ip(server))
    if len(searches) > 32:
        errors.append(invalid_value(f"{field}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        why = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid_value(f"{field}.searches", searches, why))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            wrong(errors, f"{field}.searches[{index}]", name, f.dns_subdomain_underscore(name))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{field}.options[{index}]", "must not be empty"))


def _scheduling_gates(errors: Errors, field: str, gates: list[Object]) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        wrong(errors, f"{field}[{index}]", name, f.label_key(name))
        if name in seen:
            errors.append(duplicate(f"{field}[{index}]", name))
        seen.add(name)


def template(errors: Errors, field: str, value: Object) -> None:
    """A PodTemplateSpec."""
    metadata.template(errors, field, value.get("metadata") or {})
    pod_spec = value.get("spec") or {}
    spec(errors, f"{field}.spec", pod_spec)
    if pod_spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        errors.append(forbidden_field(f"{field}.spec.ephemeralContainers", why))


def pod(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status" and old is not None:
        _status(errors, new.get("status") or {}, old.get("status") or {})
        return
    value, meta = new.get("spec") or {}, new.get("metadata") or {}
    _annotations(errors, meta.get("annotations") or {}, value)
    spec(errors, "spec", value, meta.get("name") or "")
    if not value.get("serviceAccountName"):
        for index, volume in enumerate(value.get("volumes") or ()):
            for position, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                    errors.append(forbidden_field(at, "must not be specified when serviceAccountName is not set"))
    metadata.non_negative(errors, "spec.terminationGracePeriodSeconds", value.get("terminationGracePeriodSeconds"))
    containers.trimmed_images(errors, "spec.containers", value.get("containers") or [])
    containers.trimmed_images(errors, "spec.initContainers", value.get("initContainers") or [])
    if old is None:
        if value.get("ephemeralContainers"):
            errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
        if value.get("nodeName") and value.get("schedulingGates"):
            why = "cannot be set until all schedulingGates have been cleared"
            errors.append(forbidden_field("spec.nodeName", why))
    elif subresource == "ephemeralcontainers":
        _ephemeral_update(errors, value, old.get("spec") or {})
    elif subresource == "resize":
        _resize(errors, value, old.get("spec") or {})
    elif subresource != "binding":
        _update(errors, value, old.get("spec") or {})


def _annotations(errors: Errors, annotations: dict[str, str], value: Object) -> None:
    if not annotations:
        return
    mirror = "kubernetes.io/config.mirror"
    if mirror in annotations and not value.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid_value(f"metadata.annotations[{mirror}]", annotations[mirror], why))
    key = "controller.kubernetes.io/pod-deletion-cost"
    cost = annotations.get(key)
    if cost is not None and not (cost.lstrip("-").isdecimal() and -(2**31) <= int(cost) < 2**31):
        errors.append(invalid_value(f"metadata.annotations[{key}]", cost, "must be a 32bit integer"))


def _same_containers(errors: Errors, field: str, new: list[Object], old: list[Object]) -> bool:
    if len(new) != len(old):
        errors.append(forbidden_field(field, "pod updates may not add or remove containers"))
        return False
    return True


def _deadline_ok(errors: Errors, new: Object, old: Object) -> bool:
    key, at = "activeDeadlineSeconds", "spec.activeDeadlineSeconds"
    deadline, before = new.get(key), old.get(key)
    if deadline is None:
        if before is not None:
            errors.append(invalid_value(at, None, "must not update from a positive integer to nil value"))
        return True
    if problems := f.in_range(deadline, 0, MAX_INT32):
        wrong(errors, at, deadline, problems)
        return False
    if before is not None and before < deadline:
        errors.append(invalid_value(at, deadline, "must be less than or equal to previous value"))
        return False
    return True


def _only_added_tolerations(errors: Errors, new: list[Object], old: list[Object]) -> None:
    for item in old:
        fixed = {key: value for key, value in item.items() if key != "tolerationSeconds"}
        if not any({k: v for k, v in other.items() if k != "tolerationSeconds"} == fixed for other in new):
            why = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden_field("spec.tolerations", why))
            return


def _update(errors: Errors, new: Object, old: Object) -> None:
    """What an update of a Pod's spec may change: a list short enough to name."""
    if new == old:
        return
    for key in ("containers", "initContainers"):
        if not _same_containers(errors, f"spec.{key}", new.get(key) or [], old.get(key) or []):
            return
    if not _deadline_ok(errors, new, old):
        return
    _only_added_tolerations(errors, new.get("tolerations") or [], old.get("tolerations") or [])
    had = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in had:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(forbidden_field(f"spec.schedulingGates[{index}].name", why))
    munged = dict(new)
    for key in ("containers", "initContainers"):
        if new.get(key):
            pairs = zip(new[key], old[key], strict=True)
            munged[key] = [{**mine, "image": theirs.get("image")} for mine, theirs in pairs]
    free = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        free.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        _gated(errors, new, old)
        free.append("nodeSelector")
        _keep_node_affinity(munged, old)
    for key in free:
        munged.pop(key, None)
        if key in old:
            munged[key] = old[key]
    if munged != old:
        why = f"pod updates may not change fields other than {_UPDATABLE}\n{unified(old, munged)}"
        errors.append(forbidden_field("spec", why))


def _keep_node_affinity(munged: Object, old: Object) -> None:
    affinity = {k: v for k, v in (munged.get("affinity") or {}).items() if k != "nodeAffinity"}
    before = (old.get("affinity") or {}).get("nodeAffinity")
    if before is not None:
        affinity["nodeAffinity"] = before
    if affinity or "affinity" in old:
        munged["affinity"] = affinity
    else:
        munged.pop("affinity", None)


def _gated(errors: Errors, new: Object, old: Object) -> None:
    """A Pod that waits for its scheduling gates may be narrowed to fewer nodes."""
    selector = new.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in (old.get("nodeSelector") or {}).items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(invalid_value("spec.nodeSelector", selector, why))
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    at = "spec." + ".".join(path)
    before: Any = old
    after: Any = new
    for key in path:
        before, after = (before or {}).get(key) or {}, (after or {}).get(key) or {}
    if not before:
        return
    if len(before) != len(after):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.append(invalid_value(at, after, why))
        return
    for index, term in enumerate(before):
        for key in ("matchExpressions", "matchFields"):
            kept = term.get(key) or []
            if (after[index].get(key) or [])[: len(kept)] != kept or not any(term.values()):
                why = "only additions are allowed (no mutations or deletions)"
                errors.append(invalid_value(f"{at}[{index}]", after[index], why))
                break


def _ephemeral_update(errors: Errors, new: Object, old: Object) -> None:
    now = {c.get("name"): c for c in new.get("ephemeralContainers") or ()}
    for container in old.get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in now:
            why = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(forbidden_field("spec.ephemeralContainers", why))
        elif now[name] != container:
            why = f'existing ephemeral containers "{name}" may not be changed\n{unified(container, now[name])}'
            errors.append(forbidden_field("spec.ephemeralContainers", why))


def _without_compute(container: Object) -> Object:
    """A container without what a resize may change: CPU and memory."""
    resources = dict(container.get("resources") or {})
    for key in ("requests", "limits"):
        resources[key] = {k: v for k, v in (resources.get(key) or {}).items() if k not in ("cpu", "memory")}
    return {**container, "resources": resources}


def _resize(errors: Errors, new: Object, old: Object) -> None:
    """Of the spec, ``resize`` changes only CPU and memory, and never so that the QoS class changes."""
    if qos.compute({"spec": new}) != qos.compute({"spec": old}):
        why = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid_value("spec", qos.compute({"spec": old}), why))

    def fixed(value: Object) -> Object:
        kept = {k: v for k, v in value.items() if k not in ("containers", "initContainers", "resources")}
        for key in ("containers", "initContainers"):
            kept[key] = [_without_compute(c) for c in value.get(key) or ()]
        return kept

    if fixed(new) != fixed(old):
        errors.append(forbidden_field("spec", "only cpu and memory resources are mutable"))


def _status(errors: Errors, new: Object, old: Object) -> None:
    for index, condition in enumerate(new.get("conditions") or ()):
        type = condition.get("type") or ""
        if type not in ("PodScheduled", "Ready", "Initialized"):
            wrong(errors, f"status.conditions[{index}].Type", type, f.label_key(type))
    nominated = new.get("nominatedNodeName")
    if nominated and nominated != old.get("nominatedNodeName"):
        wrong(errors, "status.nominatedNodeName", nominated, f.dns_subdomain(nominated))
    if old.get("qosClass"):
        immutable(errors, "status.qosClass", new.get("qosClass"), old.get("qosClass"))
    for key in ("podIPs", "hostIPs"):
        known = {item.get("ip") for item in old.get(key) or ()}
        for index, item in enumerate(new.get(key) or ()):
            if item.get("ip") not in known:
                wrong(errors, f"status.{key}[{index}]", item.get("ip") or "", f.ip(item.get("ip") or ""))


def supported_restart(errors: Errors, field: str, pod_spec: Object, allowed: tuple[str, ...]) -> None:
    """That a template's restart policy is one that its kind can use."""
    policy = pod_spec.get("restartPolicy") or ""
    if policy not in allowed:
        errors.append(not_supported(f"{field}.restartPolicy", policy, allowed))
