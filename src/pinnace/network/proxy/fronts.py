"""Where a Service is asked for, and which of its endpoints answer there: what follows from the Service alone. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.network.proxy import chains
from pinnace.network.proxy.pools import PoolKey, ipv4
from pinnace.network.proxy.table import Element

#: Services with this label are some other proxy's.
PROXY_NAME = "service.kubernetes.io/service-proxy-name"

PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


def is_ours(service: Object) -> bool:
    """Whether the proxy has anything to do for the Service: not for headless ones, those of type ExternalName, and
    those another proxy serves."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or PROXY_NAME in meta.labels(service):
        return False
    return bool(spec.get("clusterIP")) and spec["clusterIP"] != "None"


class Place(NamedTuple):
    """Where the rules are for: the node's name, its address to others, and the address that its own connections to load
    balancers come from."""

    node: str
    address: str = ""
    source: str = ""


class Front(NamedTuple):
    """Connections to ``key`` are led by chains of that kind to one of the pool."""

    kind: str
    key: str
    pool: PoolKey


class _Guarded(NamedTuple):
    """An address and port where connections end that have nobody in ``pool`` to go to."""

    element: Element
    pool: PoolKey
    everywhere: PoolKey
    always: bool  # also without endpoints anywhere


@dataclass(frozen=True)
class Plan:
    """``fixed`` are the elements that do not depend on endpoints. Clients stay with theirs for ``timeout`` seconds (0:
    they need not). ``pools`` hold all whom connections are led to."""

    fronts: tuple[Front, ...] = ()
    fixed: Mapping[Element, str] = field(default_factory=dict)
    timeout: int = 0
    pools: frozenset[PoolKey] = frozenset()
    guarded: tuple[_Guarded, ...] = ()

    def unserved(self, held: Callable[[PoolKey], bool]) -> dict[Element, str]:
        """What becomes of connections to what has no endpoints, by whether a pool ``held`` some: refused, or dropped
        where there are some elsewhere, so that the client tries again."""
        found: dict[Element, str] = {}
        for guarded in self.guarded:
            if not held(guarded.pool) and (guarded.always or held(guarded.everywhere)):
                found[guarded.element] = "drop" if held(guarded.everywhere) else chains.REFUSAL
        return found


#: For a Service that has no rules.
NOTHING = Plan()


def plan(service: Object, place: Place) -> Plan:
    """What the Service asks for on that node."""
    if not is_ours(service):
        return NOTHING
    spec = service["spec"]
    addresses = [ip for ip in _cluster_ips(service) if ip]
    balanced = [ip for ip in _balancer_ips(service) if ip and ip not in addresses]
    outside = list(dict.fromkeys([ip for ip in _external_ips(service) if ip and ip not in addresses] + balanced))
    fixed = {Element("cluster_ips", ip): "" for ip in addresses}
    inner_local, outer_local = (
        spec.get(name) == "Local" for name in ("internalTrafficPolicy", "externalTrafficPolicy")
    )
    ranges = _source_ranges(spec, place)
    fronts: list[Front] = []
    guarded: list[_Guarded] = []
    for port in spec.get("ports") or ():
        protocol = PROTOCOLS.get(port.get("protocol") or "TCP")
        if protocol is None:
            continue
        everywhere = PoolKey(port.get("name") or "", port.get("protocol") or "TCP")
        inner, outer = (everywhere._replace(local=local) for local in (inner_local, outer_local))
        front = f"{protocol} . {int(port['port'])}"
        for ip in addresses:
            fronts.append(Front("vip", f"{ip} . {front}", inner))
            guarded.append(_Guarded(Element("unserved", f"{ip} . {front}"), inner, everywhere, always=False))
        for ip in outside:
            key = f"{ip} . {front}"
            fronts.append(Front("vip" if outer_local else "outside", key, outer))
            guarded.append(_Guarded(Element("unserved", key), outer, everywhere, always=True))
            if outer_local:
                fronts.append(Front("inside", key, everywhere))
            if ip in balanced and ranges is not None:
                fixed[Element("limited", key)] = ""
                fixed.update((Element("allowed", f"{key} . {network}"), "") for network in ranges)
        if port.get("nodePort"):
            key = f"{protocol} . {int(port['nodePort'])}"
            fronts.append(Front("localport" if outer_local else "port", key, outer))
            guarded.append(_Guarded(Element("unserved_nodeports", key), outer, everywhere, always=True))
            if outer_local:
                fronts.append(Front("insideport", key, everywhere))
    pools = frozenset(front.pool for front in fronts)
    return Plan(tuple(fronts), fixed, _timeout(spec), pools, tuple(guarded))


def _source_ranges(spec: Object, place: Place) -> list[str] | None:
    """The networks that may connect to a load balancer's address; None for everybody. The node may if its address is
    in one of them, whichever it comes from."""
    given = spec.get("loadBalancerSourceRanges") if spec.get("type") == "LoadBalancer" else None
    if not given:
        return None
    networks = []
    for text in given:
        try:
            networks.append(ipaddress.IPv4Network(str(text).strip(), strict=False))
        except ValueError:  # of the other family
            continue
    if place.address and place.source and any(ipaddress.IPv4Address(place.address) in network for network in networks):
        networks.append(ipaddress.IPv4Network(place.source))
    merged = [str(network) for network in ipaddress.collapse_addresses(networks)]
    return None if merged == ["0.0.0.0/0"] else merged


def _timeout(spec: Object) -> int:
    """For how many seconds a client stays with its endpoint; 0 for not at all."""
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    chosen = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    return int(chosen or 10800)


def _cluster_ips(service: Object) -> Iterator[str]:
    spec = service["spec"]
    for ip in spec.get("clusterIPs") or [spec.get("clusterIP")]:
        yield ipv4(ip)


def _external_ips(service: Object) -> Iterator[str]:
    for ip in service["spec"].get("externalIPs") or ():
        yield ipv4(ip)


def _balancer_ips(service: Object) -> Iterator[str]:
    """A load balancer's addresses, but for those that hand connections on to node ports themselves."""
    if service["spec"].get("type") == "LoadBalancer":
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        for ingress in balancer.get("ingress") or ():
            if ingress.get("ipMode") != "Proxy":
                yield ipv4(ingress.get("ip"))
