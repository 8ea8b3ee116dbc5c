"""Defaults of Services and Endpoints."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given, items
from pinnace.api.types import Object

_CLIENT_IP_SECONDS = 10800


def service(obj: Object) -> None:
    spec = child(obj, "spec")
    fill_empty(spec, sessionAffinity="None", type="ClusterIP")
    kind = spec["type"]
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = given(spec, "sessionAffinityConfig") or {}
        if (given(config, "clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_IP_SECONDS}}
    for port in items(spec, "ports"):
        fill_empty(port, protocol="TCP")
        if port.get("port") is not None:
            fill_empty(port, targetPort=port["port"])
    external = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if external:
        fill_empty(spec, externalTrafficPolicy="Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        fill(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)
        for ingress in items(given(given(obj, "status") or {}, "loadBalancer") or {}, "ingress"):
            if ingress.get("ip"):
                fill(ingress, ipMode="VIP")
    child(child(obj, "status"), "loadBalancer")


def endpoints(obj: Object) -> None:
    for subset in items(obj, "subsets"):
        for port in items(subset, "ports"):
            fill_empty(port, protocol="TCP")


DEFAULTS = {("", "Service"): service, ("", "Endpoints"): endpoints}
