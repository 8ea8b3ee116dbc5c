"""Defaults of the networking group."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given, items
from pinnace.api.types import Object

_GROUP = "networking.k8s.io"


def network_policy(obj: Object) -> None:
    spec = child(obj, "spec")
    child(spec, "podSelector")
    for direction in ("ingress", "egress"):
        for rule in items(spec, direction):
            for port in items(rule, "ports"):
                fill(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def ingress(obj: Object) -> None:
    child(obj, "spec")
    child(child(obj, "status"), "loadBalancer")


def ingress_class(obj: Object) -> None:
    parameters = given(child(obj, "spec"), "parameters")
    if parameters is not None:
        fill_empty(parameters, scope="Cluster")


DEFAULTS = {
    (_GROUP, "NetworkPolicy"): network_policy,
    (_GROUP, "Ingress"): ingress,
    (_GROUP, "IngressClass"): ingress_class,
}
