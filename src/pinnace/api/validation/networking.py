"""networking.k8s.io: Ingresses, their classes, network policies, service CIDRs and addresses."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from pinnace.api import formats as f
from pinnace.api.errors import FieldError, forbidden_field, invalid_value, not_supported, required, too_long
from pinnace.api.types import Object
from pinnace.api.validation.batch import domain_prefixed_path
from pinnace.api.validation.metadata import IMMUTABLE, immutable, label_selector, wrong

Errors = list[FieldError]

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


def _host(errors: Errors, field: str, host: str) -> None:
    wrong(errors, field, host, f.wildcard_subdomain(host) if "*" in host else f.dns_subdomain(host))


def _reference(errors: Errors, field: str, reference: Object) -> None:
    if reference.get("apiGroup") is not None:
        wrong(errors, f"{field}.apiGroup", reference["apiGroup"], f.dns_subdomain(reference["apiGroup"]))
    for key in ("kind", "name"):
        if not reference.get(key):
            errors.append(required(f"{field}.{key}"))
        else:
            wrong(errors, f"{field}.{key}", reference[key], f.path_segment(reference[key]))


def _backend(errors: Errors, field: str, backend: Object) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        errors.append(invalid_value(field, "", "cannot set both resource and service backends"))
    elif resource is not None:
        _reference(errors, f"{field}.resource", resource)
    elif service is None:
        errors.append(invalid_value(field, "", "resource or service backend is required"))
    else:
        if not service.get("name"):
            errors.append(required(f"{field}.service.name"))
        else:
            wrong(errors, f"{field}.service.name", service["name"], f.dns_label(service["name"]))
        port = service.get("port") or {}
        name, number = port.get("name"), port.get("number")
        if name and number:
            errors.append(invalid_value(field, "", "cannot set both port name & port number"))
        elif name:
            wrong(errors, f"{field}.service.port.name", name, f.port_name(name))
        elif number:
            wrong(errors, f"{field}.service.port.number", number, f.port_number(number))
        else:
            errors.append(required(field, "port name or number is required"))


def _path(errors: Errors, field: str, item: Object) -> None:
    type, path = item.get("pathType"), item.get("path") or ""
    if type is None:
        errors.append(required(f"{field}.pathType", "pathType must be specified"))
        return
    if type in ("Exact", "Prefix"):
        if not path.startswith("/"):
            errors.append(invalid_value(f"{field}.path", path, "must be an absolute path"))
        for sequence in ("//", "/./", "/../", "%2f", "%2F"):
            if sequence in path:
                errors.append(invalid_value(f"{field}.path", path, f"must not contain '{sequence}'"))
        for suffix in ("/..", "/."):
            if path.endswith(suffix):
                errors.append(invalid_value(f"{field}.path", path, f"cannot end with '{suffix}'"))
    elif type == "ImplementationSpecific":
        if path and not path.startswith("/"):
            errors.append(invalid_value(f"{field}.path", path, "must be an absolute path"))
    else:
        errors.append(not_supported(f"{field}.pathType", type, _PATH_TYPES))
    _backend(errors, f"{field}.backend", item.get("backend") or {})


def ingress(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec = new.get("spec") or {}
    rules, default = spec.get("rules"), spec.get("defaultBackend")
    if not rules and default is None:
        why = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid_value("spec", rules, why))
    if default is not None:
        _backend(errors, "spec.defaultBackend", default)
    for index, rule in enumerate(rules or ()):
        at, host = f"spec.rules[{index}]", rule.get("host")
        if host:
            if f.parse_ip(host) is not None:
                errors.append(invalid_value(f"{at}.host", host, "must be a DNS name, not an IP address"))
            _host(errors, f"{at}.host", host)
        http = rule.get("http")
        if http is not None:
            if not http.get("paths"):
                errors.append(required(f"{at}.http.paths"))
            for position, item in enumerate(http.get("paths") or ()):
                _path(errors, f"{at}.http.paths[{position}]", item)
    for index, tls in enumerate(spec.get("tls") or ()):
        for position, host in enumerate(tls.get("hosts") or ()):
            _host(errors, f"spec.tls[{index}].hosts[{position}]", host)
        if tls.get("secretName"):
            wrong(errors, f"spec.tls[{index}].secretName", tls["secretName"], f.dns_subdomain(tls["secretName"]))
    name = spec.get("ingressClassName")
    if name is not None:
        wrong(errors, "spec.ingressClassName", name, f.dns_subdomain(name))
    annotation = ((new.get("metadata") or {}).get("annotations") or {}).get("kubernetes.io/ingress.class")
    if old is None and None not in (annotation, name) and annotation != name:
        why = "must match `ingressClassName` when both are specified"
        errors.append(invalid_value("annotations.kubernetes.io/ingress.class", annotation, why))


def ingress_class(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    if old is not None:
        immutable(errors, "spec.controller", controller, (old.get("spec") or {}).get("controller") or "")
    if len(controller) > 250:
        errors.append(too_long("spec.controller", 250))
    domain_prefixed_path(errors, "spec.controller", controller)
    if parameters is None:
        return
    _reference(errors, "spec.parameters", parameters)
    scope, namespace, at = parameters.get("scope"), parameters.get("namespace"), "spec.parameters"
    if scope is None:
        errors.append(required(f"{at}.scope"))
    elif scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{at}.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace" and not namespace:
        errors.append(required(f"{at}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Cluster" and namespace is not None:
        errors.append(forbidden_field(f"{at}.namespace", "`parameters.scope` is set to 'Cluster'"))


def _policy_port(errors: Errors, field: str, port: Object) -> None:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        errors.append(not_supported(f"{field}.protocol", protocol, ("TCP", "UDP", "SCTP")))
    if number is None:
        if end is not None:
            why = "may not be specified when `port` is not specified"
            errors.append(invalid_value(f"{field}.endPort", end, why))
    elif isinstance(number, str):
        if end is not None:
            why = "may not be specified when `port` is non-numeric"
            errors.append(invalid_value(f"{field}.endPort", end, why))
        wrong(errors, f"{field}.port", number, f.port_name(number))
    else:
        wrong(errors, f"{field}.port", number, f.port_number(number))
        if end is not None:
            if end < number:
                why = "must be greater than or equal to `port`"
                errors.append(invalid_value(f"{field}.endPort", end, why))
            wrong(errors, f"{field}.endPort", end, f.port_number(end))


def _block(errors: Errors, field: str, block: Object) -> None:
    cidr = block.get("cidr") or ""
    if not cidr:
        errors.append(required(f"{field}.cidr"))
        return
    if problems := f.cidr(cidr):
        wrong(errors, f"{field}.cidr", cidr, problems)
        return
    outer: Any = ip_network(cidr)
    for index, text in enumerate(block.get("except") or ()):
        at = f"{field}.except[{index}]"
        if problems := f.cidr(text):
            wrong(errors, at, text, problems)
            continue
        inner: Any = ip_network(text)
        if inner.version != outer.version or inner == outer or not inner.subnet_of(outer):
            errors.append(invalid_value(at, text, "must be a strict subset of `cidr`"))


def _peer(errors: Errors, field: str, peer: Object) -> None:
    found = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in found:
        label_selector(errors, f"{field}.{key}", peer[key])
    block = peer.get("ipBlock")
    if block is not None:
        _block(errors, f"{field}.ipBlock", block)
        if found:
            errors.append(forbidden_field(field, "may not specify both ipBlock and another peer"))
    elif not found:
        errors.append(required(field, "must specify a peer"))


def network_policy(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    label_selector(errors, "spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            at = f"spec.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                _policy_port(errors, f"{at}.ports[{position}]", port)
            for position, peer in enumerate(rule.get(peers) or ()):
                _peer(errors, f"{at}.{peers}[{position}]", peer)
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        errors.append(invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return
    for index, type in enumerate(types):
        if type not in ("Ingress", "Egress"):
            errors.append(not_supported(f"spec.policyTypes[{index}]", type, ("Ingress", "Egress")))


def service_cidr(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    cidrs = (new.get("spec") or {}).get("cidrs") or []
    if not cidrs:
        errors.append(required("spec.cidrs", "at least one CIDR required"))
    elif len(cidrs) > 2:
        errors.append(invalid_value("spec.cidrs", cidrs, "may only hold up to 2 values"))
    for index, cidr in enumerate(cidrs[:2]):
        wrong(errors, f"spec.cidrs[{index}]", cidr, f.cidr(cidr))
    before = ((old or {}).get("spec") or {}).get("cidrs") or []
    if before and cidrs[: len(before)] != before:
        errors.append(invalid_value("spec.cidrs", cidrs, IMMUTABLE))


def ip_address(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    parent = (new.get("spec") or {}).get("parentRef")
    if parent is None:
        errors.append(required("spec.parentRef"))
        return
    for key in ("resource", "name"):
        if not parent.get(key):
            errors.append(required(f"spec.parentRef.{key}"))
        else:
            wrong(errors, f"spec.parentRef.{key}", parent[key], f.path_segment(parent[key]))
    if old is not None:
        immutable(errors, "spec.parentRef", parent, (old.get("spec") or {}).get("parentRef"))
