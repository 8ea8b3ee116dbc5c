"""What a Service's spec holds of addresses and ports, and what an update that leaves them out keeps."""

from __future__ import annotations

from collections.abc import Iterator

from pinnace.api.types import Object

HEADLESS = "None"
_WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")


def addresses(spec: Object) -> list[str]:
    """The cluster IPs of a stored spec; none for headless and ExternalName."""
    if spec.get("type") not in _WITH_ADDRESS:
        return []
    listed = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [text for text in listed if isinstance(text, str) and text not in ("", HEADLESS)]


def ports(spec: Object) -> Iterator[tuple[int, Object]]:
    listed = spec.get("ports")
    if isinstance(listed, list):
        yield from ((index, port) for index, port in enumerate(listed) if isinstance(port, dict))


def node_ports(spec: Object) -> Iterator[int]:
    """Every node port of a stored spec, the health check's included."""
    for _, port in ports(spec):
        if port.get("nodePort"):
            yield int(port["nodePort"])
    if spec.get("healthCheckNodePort"):
        yield int(spec["healthCheckNodePort"])


def needs_node_ports(spec: Object) -> bool:
    """Whether every port must have one."""
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def carry_over(new: Object, old: Object) -> None:
    """Complete an update in place: what it leaves out and still needs stays as it was; what its new type has no use
    for, and it did not change, goes."""
    if new.get("type") in _WITH_ADDRESS and old.get("type") in _WITH_ADDRESS:
        _keep_addresses(new, old)
    if needs_node_ports(new) and needs_node_ports(old):
        _keep_ports(new, old)
    if _has_health_check(new) and _has_health_check(old) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old.get("healthCheckNodePort")
    _drop_unneeded(new, old)


def _keep_addresses(new: Object, old: Object) -> None:
    if not new.get("clusterIP") and not new.get("clusterIPs"):
        for field in ("clusterIP", "clusterIPs"):
            if old.get(field):
                new[field] = old[field]
    elif new.get("clusterIP") == old.get("clusterIP") and not new.get("clusterIPs") and old.get("clusterIPs"):
        new["clusterIPs"] = old["clusterIPs"]
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if not new.get(field) and old.get(field):
            new[field] = old[field]


def _keep_ports(new: Object, old: Object) -> None:
    held = {(port.get("protocol"), port.get("port")): port.get("nodePort") for _, port in ports(old)}
    used = {port.get("nodePort") for _, port in ports(new)}
    for _, port in ports(new):
        kept = held.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept


def _has_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_unneeded(new: Object, old: Object) -> None:
    if new.get("type") == "ExternalName" and old.get("type") != "ExternalName":
        if new.get("clusterIP") == old.get("clusterIP"):
            new.pop("clusterIP", None)
            new.pop("clusterIPs", None)
        for field in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if new.get(field) == old.get(field):
                new.pop(field, None)
    if needs_node_ports(old) and not needs_node_ports(new) and new.get("type") != "LoadBalancer":
        held = {port.get("nodePort") for _, port in ports(old)}
        for _, port in ports(new):
            if port.get("nodePort") in held:
                port.pop("nodePort", None)
    if _has_health_check(old) and not _has_health_check(new):
        if new.get("healthCheckNodePort") == old.get("healthCheckNodePort"):
            new.pop("healthCheckNodePort", None)
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if new.get(field) == old.get(field):
                new.pop(field, None)
    external = new.get("type") in ("NodePort", "LoadBalancer") or new.get("externalIPs")
    if not external and new.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
        new.pop("externalTrafficPolicy", None)
