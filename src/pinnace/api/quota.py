"""What objects use of a ResourceQuota. Pure; shared by those who count and by those who refuse.

Amounts are integers in the unit of the resource: thousandths of a core for CPU, whole units for everything else.
"""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta, pods, qos, quantity
from pinnace.api.types import Object

#: Resources that quotas count by their bare plural, beside ``count/<resource>``.
COUNTED = frozenset(
    {"configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"}
)
_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"


def resource_of(name: str) -> tuple[str, str]:
    """(group, plural) of the objects that use a quota's resource: Pods for ``cpu``, ``limits.memory``, ...

    >>> resource_of("count/deployments.apps"), resource_of("services.nodeports"), resource_of("requests.cpu")
    (('apps', 'deployments'), ('', 'services'), ('', 'pods'))
    """
    if name.startswith("count/"):
        plural, _, group = name[len("count/") :].partition(".")
        return group, plural
    if name in COUNTED:
        return "", name
    if name.startswith("services."):
        return "", "services"
    if name == "requests.storage" or _CLASS_SUFFIX in name:
        return "", "persistentvolumeclaims"
    return "", "pods"


def amount(name: str, text: str) -> int:
    """A limit as an integer."""
    return quantity.milli_value(text) if _is_cpu(name) else quantity.value(text)


def text(name: str, value: int) -> str:
    """An amount as it is shown."""
    if _is_cpu(name):
        return quantity.from_milli(value)
    in_bytes = name.endswith(("memory", "storage")) or "hugepages-" in name
    return quantity.from_value(value, quantity.BINARY_SI if in_bytes else quantity.DECIMAL_SI)


def _is_cpu(name: str) -> bool:
    return name in ("cpu", "requests.cpu", "limits.cpu")


def usage(group: str, plural: str, obj: Object) -> dict[str, int]:
    """What one object uses, by the names that a quota may have for it."""
    used = {f"count/{plural}.{group}" if group else f"count/{plural}": 1}
    if group:
        return used
    if plural in COUNTED:
        used[plural] = 1
    if plural == "pods":
        used |= _pod_usage(obj)
    elif plural == "services":
        used |= _service_usage(obj)
    elif plural == "persistentvolumeclaims":
        used |= _claim_usage(obj)
    return used


def _pod_usage(pod: Object) -> dict[str, int]:
    """A Pod that has ended uses nothing but its entry in the count of objects."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    used = {"pods": 1}
    for name, value in pods.pod_requests(pod).items():
        used[f"requests.{name}"] = value
        if name in _COMPUTE or name.startswith(pods.HUGE_PAGES_PREFIX):
            used[name] = value
    for name, value in pods.pod_limits(pod).items():
        if name in _COMPUTE:
            used[f"limits.{name}"] = value
    return used


def _service_usage(service: Object) -> dict[str, int]:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type") or "ClusterIP", spec.get("ports") or ()
    if kind == "NodePort":
        return {"services.nodeports": len(ports)}
    if kind == "LoadBalancer":
        wanted = spec.get("allocateLoadBalancerNodePorts") is not False
        node_ports = len(ports) if wanted else sum(1 for port in ports if port.get("nodePort"))
        return {"services.loadbalancers": 1, "services.nodeports": node_ports}
    return {}


def _claim_usage(claim: Object) -> dict[str, int]:
    spec = claim.get("spec") or {}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    storage = quantity.value(asked)
    used = {"requests.storage": storage}
    storage_class = spec.get("storageClassName")
    if storage_class:
        used[f"{storage_class}{_CLASS_SUFFIX}requests.storage"] = storage
        used[f"{storage_class}{_CLASS_SUFFIX}persistentvolumeclaims"] = 1
    return used


# -- scopes


def selects(quota: Object, group: str, plural: str, obj: Object) -> bool:
    """Whether the quota's scopes take the object in; scopes speak of Pods only."""
    spec = quota.get("spec") or {}
    scopes: list[tuple[str, str, list[str]]] = [(scope, "Exists", []) for scope in spec.get("scopes") or ()]
    scopes += [
        (wanted["scopeName"], wanted["operator"], wanted.get("values") or [])
        for wanted in (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    ]
    if not scopes:
        return True
    if (group, plural) != ("", "pods"):
        return False
    return all(_in_scope(obj, scope, operator, values) for scope, operator, values in scopes)


def _in_scope(pod: Object, scope: str, operator: str, values: list[str]) -> bool:
    spec = pod.get("spec") or {}
    if scope == "PriorityClass":
        held = spec.get("priorityClassName") or ""
        return {
            "In": held in values,
            "NotIn": held not in values,
            "Exists": bool(held),
            "DoesNotExist": not held,
        }[operator]
    terminating = spec.get("activeDeadlineSeconds") is not None
    best_effort = qos.pod_qos(pod) == "BestEffort"
    states = {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": _crosses_namespaces(spec),
    }
    return states.get(scope, False)


def _crosses_namespaces(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [t["podAffinityTerm"] for t in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def used(quota: Object, objects: Iterable[tuple[str, str, Object]]) -> dict[str, int]:
    """What (group, plural, object)s use of the resources that the quota limits."""
    names = list((quota["spec"].get("hard") or {}).keys())
    totals = dict.fromkeys(names, 0)
    for group, plural, obj in objects:
        if meta.is_deleting(obj) and not meta.finalizers(obj) and plural != "pods":
            continue
        if selects(quota, group, plural, obj):
            for name, value in usage(group, plural, obj).items():
                if name in totals:
                    totals[name] += value
    return totals
