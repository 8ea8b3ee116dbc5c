"""Rows of Services, endpoint slices and networking.k8s.io."""

from __future__ import annotations

from typing import Any

from pinnace.api.table import values as v
from pinnace.api.types import Object


def _load_balancer(obj: Object) -> list[str]:
    ingress = v.children(obj, "status", "loadBalancer", "ingress")
    return sorted({v.text(i, "ip") or v.text(i, "hostname") for i in ingress} - {""})


def _external(obj: Object) -> str:
    external = v.texts(obj, "spec", "externalIPs")
    match v.text(obj, "spec", "type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or v.NONE
        case "LoadBalancer":
            return ",".join(_load_balancer(obj) + external) or "<pending>"
        case "ExternalName":
            return v.text(obj, "spec", "externalName")
    return v.UNKNOWN


def _port(port: Object) -> str:
    number, node_port = v.number(port, "port"), v.number(port, "nodePort")
    return f"{number}:{node_port}/{v.text(port, 'protocol')}" if node_port else f"{number}/{v.text(port, 'protocol')}"


def service(obj: Object, now: float) -> list[Any]:
    addresses = v.texts(obj, "spec", "clusterIPs")
    return [
        v.name(obj),
        v.text(obj, "spec", "type"),
        addresses[0] if addresses else v.NONE,
        _external(obj),
        ",".join(map(_port, v.children(obj, "spec", "ports"))) or v.NONE,
        v.age(obj, now),
        v.labels(v.at(obj, "spec", "selector")),
    ]


def endpoint_slice(obj: Object, now: float) -> list[Any]:
    ports = []
    for port in v.children(obj, "ports"):
        number = port.get("port")
        ports.append("*" if number is None and port.get("name") is None else str(number or v.text(port, "name")))
    addresses = [a for endpoint in v.children(obj, "endpoints") for a in v.texts(endpoint, "addresses")]
    return [
        v.name(obj),
        v.text(obj, "addressType"),
        v.with_more(ports, 3, v.UNSET),
        v.with_more(addresses, 3, v.UNSET),
        v.age(obj, now),
    ]


def _hosts(obj: Object) -> str:
    rules = v.children(obj, "spec", "rules")
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == 3:
            return f"{','.join(hosts)} + {len(rules) - 3} more..."
        if host := v.text(rule, "host"):
            hosts.append(host)
    return ",".join(hosts) or "*"


def ingress(obj: Object, now: float) -> list[Any]:
    return [
        v.name(obj),
        v.text(obj, "spec", "ingressClassName") or v.NONE,
        _hosts(obj),
        ",".join(_load_balancer(obj)),
        "80, 443" if v.size(obj, "spec", "tls") else "80",
        v.age(obj, now),
    ]


def ingress_class(obj: Object, now: float) -> list[Any]:
    name = v.name(obj)
    if v.text(obj, "metadata", "annotations", "ingressclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    parameters, shown = v.child(obj, "spec", "parameters"), v.NONE
    if parameters:
        shown = v.text(parameters, "kind")
        if parameters.get("apiGroup") is not None:
            shown += f".{v.text(parameters, 'apiGroup')}"
        shown += f"/{v.text(parameters, 'name')}"
    return [name, v.text(obj, "spec", "controller"), shown, v.age(obj, now)]


def network_policy(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.selector(v.at(obj, "spec", "podSelector")), v.age(obj, now)]


def service_cidr(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), ",".join(v.texts(obj, "spec", "cidrs")), v.age(obj, now)]


def ip_address(obj: Object, now: float) -> list[Any]:
    parent, shown = v.child(obj, "spec", "parentRef"), v.NONE
    if parent:
        group, resource, namespace = (v.text(parent, key) for key in ("group", "resource", "namespace"))
        shown = f"{resource}.{group}".lower() if group else resource.lower()
        shown = "/".join([shown, *([namespace] if namespace else []), v.text(parent, "name")])
    return [v.name(obj), shown]
