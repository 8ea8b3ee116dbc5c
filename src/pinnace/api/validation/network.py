"""Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from pinnace.api.types import Object
from pinnace.api.validation import metadata
from pinnace.api.validation.common import port_or_name
from pinnace.api.validation.containers import PROTOCOLS
from pinnace.api.validation.metadata import one_of, wrong

Errors = list[FieldError]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_LOAD_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"


def endpoint_ip(errors: Errors, field: str, text: str) -> None:
    """That an address can be reached from elsewhere."""
    address = f.parse_ip(text)
    if address is None:
        errors.append(invalid_value(field, text, "must be a valid IP address"))
        return
    if address.is_unspecified:
        errors.append(invalid_value(field, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        errors.append(invalid_value(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid_value(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(invalid_value(field, text, why))


def _family(text: str) -> str:
    address = f.parse_ip(text)
    return "IPv4" if isinstance(address, IPv4Address) else "IPv6" if isinstance(address, IPv6Address) else ""


def _port(errors: Errors, field: str, port: Object, named: bool, names: set[str]) -> None:
    name = port.get("name") or ""
    if named and not name:
        errors.append(required(f"{field}.name"))
    elif name:
        wrong(errors, f"{field}.name", name, f.dns_label(name))
        if name in names:
            errors.append(duplicate(f"{field}.name", name))
        names.add(name)
    number = port.get("port") or 0
    wrong(errors, f"{field}.port", number, f.port_number(number))
    one_of(errors, f"{field}.protocol", port.get("protocol"), PROTOCOLS)
    port_or_name(errors, f"{field}.targetPort", port.get("targetPort"))
    if port.get("appProtocol") is not None:
        wrong(errors, f"{field}.appProtocol", port["appProtocol"], f.label_key(port["appProtocol"]))


def _ports(errors: Errors, spec: Object) -> None:
    ports = spec.get("ports") or []
    names: set[str] = set()
    for index, port in enumerate(ports):
        _port(errors, f"spec.ports[{index}]", port, len(ports) > 1, names)


def _port_conflicts(errors: Errors, spec: Object) -> None:
    ports = spec.get("ports") or []
    if spec.get("type") == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                why = "may not be used when `type` is 'ClusterIP'"
                errors.append(forbidden_field(f"spec.ports[{index}].nodePort", why))
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if number := port.get("nodePort"):
            key = (port.get("protocol") or "", number)
            if key in node_ports:
                errors.append(duplicate(f"spec.ports[{index}].nodePort", number))
            node_ports.add(key)
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in numbers:
            errors.append(duplicate(f"spec.ports[{index}]", {"port": key[1], "protocol": key[0]}))
        numbers.add(key)


def _affinity(errors: Errors, spec: Object) -> None:
    kind, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    one_of(errors, "spec.sessionAffinity", kind, _AFFINITIES)
    at, why = "spec.sessionAffinityConfig", "when session affinity type is ClientIP"
    if kind == "None" and config is not None:
        errors.append(forbidden_field(at, "must not be set when session affinity is None"))
    elif kind == "ClientIP":
        if config is None:
            errors.append(required(at, why))
        elif config.get("clientIP") is None:
            errors.append(required(f"{at}.clientIP", why))
        elif (timeout := config["clientIP"].get("timeoutSeconds")) is None:
            errors.append(required(f"{at}.clientIP.timeoutSeconds", why))
        elif not 0 < timeout <= 86400:
            why = "must be greater than 0 and less than 86400"
            errors.append(invalid_value(f"{at}.clientIP.timeoutSeconds", timeout, why))


def _cluster_ips(errors: Errors, spec: Object) -> None:
    first, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    if first and not addresses:
        errors.append(required("spec.clusterIPs"))
    elif first and addresses[0] != first:
        errors.append(invalid_value("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        errors.append(invalid_value("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    before = len(errors)
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                why = "'None' must be the first and only value"
                errors.append(invalid_value("spec.clusterIPs", addresses, why))
            continue
        wrong(errors, f"spec.clusterIPs[{index}]", address, f.ip(address))
    bad = len(errors) > before
    if len(addresses) > 2:
        errors.append(invalid_value("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if bad:
        return
    if len(addresses) > 1 and len({_family(a) for a in addresses}) < len(addresses):
        why = "may specify no more than one IP for each IP family"
        errors.append(invalid_value("spec.clusterIPs", addresses, why))
    if addresses != ["None"]:
        for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
            if family in ("IPv4", "IPv6") and _family(address) != family:
                why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                errors.append(invalid_value(f"spec.clusterIPs[{index}]", address, why))


def _external_name(errors: Errors, spec: Object) -> None:
    why = "may not be set for ExternalName services"
    for key in ("clusterIPs", "ipFamilies"):
        if spec.get(key):
            errors.append(forbidden_field(f"spec.{key}", why))
    if spec.get("ipFamilyPolicy") is not None:
        errors.append(forbidden_field("spec.ipFamilyPolicy", why))
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        wrong(errors, "spec.externalName", name, f.dns_subdomain(name))
    else:
        errors.append(required("spec.externalName"))


def _traffic(errors: Errors, spec: Object) -> None:
    type, external = spec.get("type"), spec.get("externalTrafficPolicy") or ""
    at = "spec.externalTrafficPolicy"
    if type not in ("NodePort", "LoadBalancer") and not (type == "ClusterIP" and spec.get("externalIPs")):
        if external:
            errors.append(invalid_value(at, external, "may only be set for externally-accessible services"))
    else:
        one_of(errors, at, external, _POLICIES)
    health = spec.get("healthCheckNodePort") or 0
    if type != "LoadBalancer" or external != "Local":
        if health:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(invalid_value("spec.healthCheckNodePort", health, why))
    elif not health:
        errors.append(required("spec.healthCheckNodePort"))
    else:
        wrong(errors, "spec.healthCheckNodePort", health, f.port_number(health))
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if type in ("NodePort", "LoadBalancer", "ClusterIP"):
            errors.append(required("spec.internalTrafficPolicy"))
    elif internal not in _POLICIES:
        errors.append(not_supported("spec.internalTrafficPolicy", internal, _POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))


def _load_balancer(errors: Errors, spec: Object) -> None:
    type = spec.get("type")
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and type != "LoadBalancer":
        errors.append(forbidden_field("spec.LoadBalancerSourceRanges", _LOAD_BALANCER_ONLY))
    for index, block in enumerate(ranges):
        wrong(errors, f"spec.LoadBalancerSourceRanges[{index}]", block.strip(), f.cidr(block.strip()))
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if allocate is not None and type != "LoadBalancer":
        errors.append(forbidden_field("spec.allocateLoadBalancerNodePorts", _LOAD_BALANCER_ONLY))
    if allocate is None and type == "LoadBalancer":
        errors.append(required("allocateLoadBalancerNodePorts"))
    name = spec.get("loadBalancerClass")
    if name is not None:
        if type == "LoadBalancer":
            wrong(errors, "spec.loadBalancerClass", name, f.label_key(name))
        else:
            errors.append(forbidden_field("spec.loadBalancerClass", _LOAD_BALANCER_ONLY))


def _update(errors: Errors, new: Object, old: Object) -> None:
    if "ExternalName" not in (new.get("type"), old.get("type")):
        addresses, before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
        single = new.get("ipFamilyPolicy") == "SingleStack"
        if len(addresses) == len(before):
            for index, address in enumerate(before):
                if address != addresses[index]:
                    why = "may not change once set"
                    errors.append(invalid_value(f"spec.clusterIPs[{index}]", addresses, why))
        elif before and not addresses:
            why = "primary clusterIP can not be unset"
            errors.append(invalid_value("spec.clusterIPs[0]", new.get("clusterIPs"), why))
        elif before and addresses[0] != before[0]:
            errors.append(invalid_value("spec.clusterIPs[0]", addresses, "may not change once set"))
        if len(addresses) == 1 and len(before) > 1 and not single:
            why = "must be set to 'SingleStack' when releasing the secondary clusterIP"
            errors.append(invalid_value("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), why))
        families, had = new.get("ipFamilies") or [], old.get("ipFamilies") or []
        if families and had and families[0] != had[0] and "None" not in (*addresses, *before):
            errors.append(invalid_value("spec.ipFamilies[0]", families, "may not change once set"))
    if new.get("type") == old.get("type") == "LoadBalancer":
        if new.get("loadBalancerClass") != old.get("loadBalancerClass"):
            why = "may not change once set"
            errors.append(invalid_value("spec.loadBalancerClass", new.get("loadBalancerClass"), why))
        health = new.get("healthCheckNodePort"), old.get("healthCheckNodePort")
        local = new.get("externalTrafficPolicy") == old.get("externalTrafficPolicy") == "Local"
        if local and health[0] != health[1]:
            errors.append(forbidden_field("spec.healthCheckNodePort", "field is immutable"))


def service(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        _ingress_status(errors, new)
        return
    spec = new.get("spec") or {}
    type, addresses = spec.get("type") or "", spec.get("clusterIPs") or []
    if old is not None:
        _update(errors, spec, old.get("spec") or {})
    if not spec.get("ports") and addresses != ["None"] and type != "ExternalName":
        errors.append(required("spec.ports"))
    if type in ("LoadBalancer", "NodePort") and addresses == ["None"]:
        errors.append(invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {type} services"))
    if type == "ExternalName":
        _external_name(errors, spec)
    _ports(errors, spec)
    metadata.labels(errors, "spec.selector", spec.get("selector"))
    _affinity(errors, spec)
    if type != "ExternalName":
        _cluster_ips(errors, spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if problems := f.ip(address):
            wrong(errors, f"spec.externalIPs[{index}]", address, problems)
        else:
            endpoint_ip(errors, f"spec.externalIPs[{index}]", address)
    one_of(errors, "spec.type", type, _TYPES)
    _port_conflicts(errors, spec)
    _load_balancer(errors, spec)
    _traffic(errors, spec)


def _ingress_status(errors: Errors, new: Object) -> None:
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    for index, item in enumerate(ingress):
        at, ip, host = f"status.loadBalancer.ingress[{index}]", item.get("ip"), item.get("hostname")
        if ip:
            wrong(errors, f"{at}.ip", ip, f.ip(ip))
        if host:
            wrong(errors, f"{at}.hostname", host, f.dns_subdomain(host))
            if f.parse_ip(host) is not None:
                errors.append(invalid_value(f"{at}.hostname", host, "must be a DNS name, not an IP address"))


def _address(errors: Errors, field: str, address: Object) -> None:
    ip = address.get("ip") or ""
    wrong(errors, f"{field}.ip", ip, f.ip(ip))
    if address.get("hostname"):
        wrong(errors, f"{field}.hostname", address["hostname"], f.dns_label(address["hostname"]))
    if address.get("nodeName") is not None:
        wrong(errors, f"{field}.nodeName", address["nodeName"], f.dns_subdomain(address["nodeName"]))
    endpoint_ip(errors, f"{field}.ip", ip)


def endpoints(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    subsets = new.get("subsets") or []
    if old is not None and subsets == (old.get("subsets") or []):
        return
    for index, subset in enumerate(subsets):
        at, ports = f"subsets[{index}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(at, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(key) or ()):
                _address(errors, f"{at}.{key}[{position}]", address)
        for position, port in enumerate(ports):
            where, name, number = f"{at}.ports[{position}]", port.get("name"), port.get("port") or 0
            if len(ports) > 1 and not name:
                errors.append(required(f"{where}.name"))
            elif name:
                wrong(errors, f"{where}.name", name, f.dns_label(name))
            wrong(errors, f"{where}.port", number, f.port_number(number))
            one_of(errors, f"{where}.protocol", port.get("protocol"), PROTOCOLS)


_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def _slice_addresses(errors: Errors, field: str, addresses: list[str], type: str) -> None:
    if not addresses:
        errors.append(required(field, "must contain at least 1 address"))
    elif len(addresses) > 100:
        errors.append(too_many(field, len(addresses), 100))
    for index, address in enumerate(addresses):
        at = f"{field}[{index}]"
        if type in ("IPv4", "IPv6"):
            if problems := f.ip(address) if type == "IPv4" else f.canonical_ip(address):
                wrong(errors, at, address, problems)
                continue
            if _family(address) != type:
                errors.append(invalid_value(field, address, f"must be an {type} address"))
            endpoint_ip(errors, at, address)
        elif type == "FQDN":
            wrong(errors, at, address, f.dns_subdomain(address.removesuffix(".")))


def endpoint_slice(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    type, ports, items = new.get("addressType") or "", new.get("ports") or [], new.get("endpoints") or []
    one_of(errors, "addressType", type, _ADDRESS_TYPES)
    names: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name:
            wrong(errors, f"ports[{index}].name", name, f.dns_label(name))
        if name in names:
            errors.append(duplicate(f"ports[{index}].name", name))
        names.add(name)
        one_of(errors, f"ports[{index}].protocol", port.get("protocol"), PROTOCOLS)
        if port.get("appProtocol") is not None:
            wrong(errors, f"ports[{index}].appProtocol", port["appProtocol"], f.label_key(port["appProtocol"]))
    if len(items) > 1000:
        errors.append(too_many("endpoints", len(items), 1000))
    elif old is None or items != (old.get("endpoints") or []):
        for index, item in enumerate(items):
            _slice_addresses(errors, f"endpoints[{index}].addresses", item.get("addresses") or [], type)
            if item.get("nodeName") is not None:
                wrong(errors, f"endpoints[{index}].nodeName", item["nodeName"], f.dns_subdomain(item["nodeName"]))
            metadata.labels(errors, f"endpoints[{index}].deprecatedTopology", item.get("deprecatedTopology"))
            if item.get("hostname") is not None:
                wrong(errors, f"endpoints[{index}].hostname", item["hostname"], f.dns_label(item["hostname"]))
    if old is not None:
        metadata.immutable(errors, "addressType", type, old.get("addressType"))
