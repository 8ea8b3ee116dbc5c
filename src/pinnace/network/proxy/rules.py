"""What nftables must hold for one Service: map and set elements. Pure.

Chains depend only on the number of slots (``vip_3``, ``port_3``: choose one of three); everything else is an
element of a map, so a change of endpoints is a change of elements. For a Service with port 80 at 10.96.0.10, node port
30080 and the endpoints A and B::

    services            10.96.0.10 . tcp . 80            goto vip_2
    endpoints           10.96.0.10 . tcp . 80 . 0        A . 8080
    endpoints           10.96.0.10 . tcp . 80 . 1        B . 8080
    nodeports           tcp . 30080                      goto port_2
    nodeport_endpoints  tcp . 30080 . 0                  A . 8080
    nodeport_endpoints  tcp . 30080 . 1                  B . 8080
    hairpin             A . A                            (a Pod that reaches itself)
    cluster_ips         10.96.0.10                       (what no chain took is refused)

Where ``externalTrafficPolicy: Local`` leaves those from outside the node's own endpoints, ``inside`` and
``inside_nodeports`` lead Pods and the node to all of them. ``unserved`` says what becomes of connections to an address
that has no endpoints (refused), or none here (dropped). ``limited`` and ``allowed`` are a load balancer's source
ranges.

A Service with ``sessionAffinity: ClientIP`` has ``slots`` and ``sticky`` in place of ``endpoints`` (see ``chains``).
IPv4 only; whatever is no IPv4 address or port is left out, so that nothing but numbers gets into a rule.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.network.proxy import chains, slots

#: Services with this label are some other proxy's.
PROXY_NAME = "service.kubernetes.io/service-proxy-name"

PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


class Element(NamedTuple):
    """A key of one map or set of the table."""

    of: str
    key: str


#: Elements and their values; a set's have the value "".
Elements: TypeAlias = Mapping[Element, str]


class Endpoint(NamedTuple):
    address: str
    port: int


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


def elements(
    service: Object, slices: Iterable[Object], place: Place, before: Elements = MappingProxyType({})
) -> dict[Element, str]:
    """All elements of one Service on that node. The same input in another order gives the same result. Endpoints keep
    the slots that they had ``before``: one that comes or goes moves at most one other."""
    found: dict[Element, str] = {}
    if not is_ours(service):
        return found
    addresses = [ip for ip in _cluster_ips(service) if ip]
    balanced = [ip for ip in _balancer_ips(service) if ip and ip not in addresses]
    outside = list(dict.fromkeys([ip for ip in _external_ips(service) if ip and ip not in addresses] + balanced))
    for ip in addresses:
        found[Element("cluster_ips", ip)] = ""
    spec, held = service["spec"], list(slices)
    inside_node = place.node if spec.get("internalTrafficPolicy") == "Local" else ""
    outside_node = place.node if spec.get("externalTrafficPolicy") == "Local" else ""
    ranges = _source_ranges(spec, place)
    spread = _Spread(found, _timeout(spec), before)
    for port in spec.get("ports") or ():
        protocol = PROTOCOLS.get(port.get("protocol") or "TCP")
        if protocol is None:
            continue
        name = port.get("name") or "", port.get("protocol") or "TCP"
        everywhere = endpoints(held, *name)
        inner = endpoints(held, *name, inside_node) if inside_node else everywhere
        outer = endpoints(held, *name, outside_node) if outside_node else everywhere
        front = f"{protocol} . {int(port['port'])}"
        refusal = "drop" if everywhere else chains.REFUSAL  # not here, but elsewhere: let the client try again
        for ip in addresses:
            spread("vip", f"{ip} . {front}", inner)
            if not inner and everywhere:
                found[Element("unserved", f"{ip} . {front}")] = refusal
        for ip in outside:
            key = f"{ip} . {front}"
            spread("vip" if outside_node else "outside", key, outer)
            if outside_node:
                spread("inside", key, everywhere)
            if not outer:
                found[Element("unserved", key)] = refusal
            if ip in balanced and ranges is not None:
                found[Element("limited", key)] = ""
                found.update((Element("allowed", f"{key} . {network}"), "") for network in ranges)
        if port.get("nodePort"):
            key = f"{protocol} . {int(port['nodePort'])}"
            spread("localport" if outside_node else "port", key, outer)
            if outside_node:
                spread("insideport", key, everywhere)
            if not outer:
                found[Element("unserved_nodeports", key)] = refusal
        for target in {*inner, *outer, *(everywhere if outside_node else ())}:
            found[Element("hairpin", f"{target.address} . {target.address}")] = ""
    return found


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


#: What the names of a kind's maps begin with, and the map that leads to its chains.
_MAPS = {
    "vip": ("", "services"),
    "outside": ("", "services"),
    "inside": ("inside_", "inside"),
    "port": ("nodeport_", "nodeports"),
    "localport": ("nodeport_", "nodeports"),
    "insideport": ("inside_nodeport_", "inside_nodeports"),
}


class _Spread(NamedTuple):
    """Adds the elements that lead from a key to its endpoints."""

    found: dict[Element, str]
    timeout: int
    before: Elements

    def __call__(self, kind: str, key: str, targets: list[Endpoint]) -> None:
        maps, fronts = _MAPS[kind]
        if not targets:
            return
        size = slots.size(len(targets), self.timeout)
        self.found[Element(fronts, key)] = f"goto {chains.name(kind, size, self.timeout)}"
        ways = [f"{target.address} . {target.port}" for target in targets]
        if not self.timeout:
            self._in_slots(_keys(f"{maps}endpoints", key, size), ways)
            return
        numbers = [f"{number:#010x}" for number in _numbers(targets)]
        self._in_slots(_keys(f"{maps}slots", key, size), numbers)
        for number, where in zip(numbers, ways, strict=True):
            self.found[Element(f"{maps}sticky", f"{key} . {number}")] = where

    def _in_slots(self, keys: tuple[Element, ...], values: list[str]) -> None:
        held = slots.arrange(values, len(keys), map(self.before.get, keys))
        self.found.update(zip(keys, held, strict=True))


def _keys(of: str, key: str, size: int) -> tuple[Element, ...]:
    return _keys_again(of, key, size) if slots.EXACT < size <= _REMEMBERED else _keys_anew(of, key, size)


def _keys_anew(of: str, key: str, size: int) -> tuple[Element, ...]:
    return tuple(Element(of, f"{key} . {slot}") for slot in range(size))


#: Making them takes longer than all else; more than that many are not held for Services that may be gone.
_REMEMBERED = 8192
_keys_again = lru_cache(maxsize=32)(_keys_anew)


def _numbers(targets: list[Endpoint]) -> list[int]:
    """A number for each endpoint that depends (but for a clash) on nothing but itself; never 0."""
    taken: dict[int, None] = {}
    for target in targets:
        number = zlib.crc32(f"{target.address}:{target.port}".encode())
        while not number or number in taken:
            number = (number + 1) & 0xFFFFFFFF
        taken[number] = None
    return list(taken)


def endpoints(slices: Iterable[Object], port_name: str, protocol: str, node_name: str = "") -> list[Endpoint]:
    """Where connections to one port go, in a fixed order: the ready endpoints; if there are none, those that still
    serve while they terminate. With ``node_name`` only those on that node count."""
    ready: set[Endpoint] = set()
    serving: set[Endpoint] = set()
    for slice in slices:
        if slice.get("addressType") != "IPv4":
            continue
        entries = [e for e in slice.get("endpoints") or () if not node_name or e.get("nodeName") == node_name]
        for port in slice.get("ports") or ():
            if (port.get("name") or "") != port_name or (port.get("protocol") or "TCP") != protocol:
                continue
            if not port.get("port"):
                continue
            for entry in entries:
                chosen = _state(entry.get("conditions") or {}, ready, serving)
                if chosen is None or not (address := ipv4((entry.get("addresses") or [""])[0])):
                    continue
                chosen.add(Endpoint(address, int(port["port"])))
    return sorted(ready or serving)


def local_endpoints(slices: Iterable[Object], node_name: str) -> int:
    """How many ready endpoints of a Service are on that node."""
    return len(
        {
            address
            for slice in slices
            if slice.get("addressType") == "IPv4"
            for entry in slice.get("endpoints") or ()
            if entry.get("nodeName") == node_name and (entry.get("conditions") or {}).get("ready") is not False
            for address in (entry.get("addresses") or ())[:1]
        }
    )


def _state(conditions: Object, ready: set[Endpoint], serving: set[Endpoint]) -> set[Endpoint] | None:
    if conditions.get("ready") is not False:  # not said counts as ready
        return ready
    if conditions.get("terminating") and conditions.get("serving") is not False:
        return serving
    return None


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


def ipv4(value: object) -> str:
    """The address as the kernel shows it; "" for anything else."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, value)) if isinstance(value, str) else ""
    except (OSError, ValueError):
        return ""
