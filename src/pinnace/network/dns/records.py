"""What the cluster's names stand for, by the Kubernetes DNS specification and as CoreDNS answers. Pure.

::

    web.shop.svc.cluster.local               A      the ClusterIP; of a headless Service its ready endpoints
    _http._tcp.web.shop.svc.cluster.local    SRV    ports by name
    db-0.db.shop.svc.cluster.local           A      one endpoint: its hostname, or its address with dashes
    10-244-0-7.shop.pod.cluster.local        A      the address it says, in a namespace that exists
    10.0.96.10.in-addr.arpa                  PTR    Services by ClusterIP, then endpoints; else not ours
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.network.dns import wire
from pinnace.network.dns.wire import Record, Soa, Srv
from pinnace.network.slices import service_of

#: Seconds that an answer may be remembered.
TTL = 30
#: ExternalNames that lead to one another are followed this far.
CHAIN = 8
VERSION = "1.1.0"


class View(Protocol):
    """What is known of the cluster."""

    def namespace_exists(self, name: str) -> bool: ...

    def service(self, namespace: str, name: str) -> Object | None: ...

    def slices(self, namespace: str, name: str) -> Iterable[Object]:
        """The EndpointSlices of a Service."""

    def services_at(self, address: str) -> Iterable[Object]:
        """Services with that ClusterIP."""

    def slices_with(self, address: str) -> Iterable[Object]:
        """EndpointSlices with that endpoint."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``rcode`` and records of the sections. ``chase`` is a name outside the cluster that the last answer leads to,
    whose addresses belong into the answer too."""

    rcode: int = wire.NOERROR
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    chase: str = ""


class _Target(NamedTuple):
    """One thing that a name stands for: an address (and port) of its own ``name``, or another name."""

    name: str
    address: str = ""
    port: int = -1  # -1: it has no port
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """The cluster's domain. ``dns_address`` is its DNS server's; ``serial`` counts changes."""

    domain: str
    dns_address: str

    def answer(self, view: View, name: str, type: int, serial: int, most: int = wire.TCP_LIMIT) -> Answer | None:
        """The answer to a question; None if it is not the cluster's to answer. Of more than ``most`` endpoints of a
        headless Service it has some, and more than these: those of the slices that ``view`` names first."""
        if name == self.domain or name.endswith("." + self.domain):
            return self._inside(view, name, type, serial, most)
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(view, name, type)
        return None

    # -- names

    def _inside(self, view: View, name: str, type: int, serial: int, most: int) -> Answer:
        if type in (wire.AXFR, wire.IXFR):
            return Answer(wire.REFUSED)
        soa = Record(
            self.domain, wire.SOA, TTL, Soa(self._server, f"hostmaster.{self.domain}", serial, 7200, 1800, 86400, TTL)
        )
        found = self._special(name, type, soa)
        if found is None:
            found = self._service(view, name, type, most)
        if found.rcode == wire.NXDOMAIN or not found.answers:
            return Answer(found.rcode, authority=(soa,))
        return found

    @property
    def _server(self) -> str:
        return f"ns.dns.{self.domain}"

    def _special(self, name: str, type: int, soa: Record) -> Answer | None:
        """The domain itself and the names that it has of its own; None for all others."""
        address = Record(self._server, wire.A, TTL, self.dns_address)
        if name == self.domain:
            if type == wire.SOA:
                return Answer(answers=(soa,))
            if type == wire.NS:
                return Answer(answers=(Record(name, wire.NS, TTL, self._server),), additional=(address,))
            return Answer()
        if name == self._server:
            return Answer(answers=(address,) if type == wire.A else ())
        if name == f"dns.{self.domain}":
            return Answer()
        if name == f"dns-version.{self.domain}":
            return Answer(answers=(Record(name, wire.TXT, TTL, VERSION),) if type == wire.TXT else ())
        return None

    def _service(self, view: View, name: str, type: int, most: int) -> Answer:
        targets = self._targets(view, name, most)
        if targets is None:
            return Answer(wire.NXDOMAIN)
        if targets and targets[0].alias:
            return self._alias(view, name, type, targets[0].alias, most)
        if type in (wire.A, wire.AAAA):
            return Answer(answers=tuple(_addresses(name, type, (target.address for target in targets))))
        if type == wire.SRV:
            return _ports(name, [target for target in targets if target.port >= 0])
        return Answer()

    def _targets(self, view: View, name: str, most: int) -> list[_Target] | None:
        """What a name inside the domain stands for: nothing ([]) if it only leads to others, None if it does not
        exist."""
        labels = name[: -len(self.domain) - 1].split(".")
        kind = labels.pop()
        if kind not in ("svc", "pod"):
            return None
        if not labels:
            return []
        namespace = labels.pop()
        if not view.namespace_exists(namespace):
            return None
        if not labels:
            return []
        leaf = labels.pop()
        if kind == "pod":
            address = _dashed(leaf)
            return [_Target(name, address)] if address and not labels else None
        service = view.service(namespace, leaf)
        if service is None or len(labels) > 2:
            return None
        return self._of_service(view, service, labels, most)

    def _of_service(self, view: View, service: Object, labels: list[str], most: int) -> list[_Target] | None:
        own = f"{meta.name(service)}.{meta.namespace(service)}.svc.{self.domain}"
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            alias = str(spec.get("externalName") or "").rstrip(".").lower()
            return None if labels or not alias or _is_address(alias) else [_Target(own, alias=alias)]
        endpoint = labels[0] if len(labels) == 1 else ""
        port, protocol = (label.removeprefix("_") for label in labels) if len(labels) == 2 else ("", "")
        if spec.get("clusterIP") == "None" or endpoint:
            found: set[_Target] = set()
            for slice in view.slices(meta.namespace(service), meta.name(service)):
                found.update(
                    _Target(f"{hostname}.{own}", address, number)
                    for hostname, address, ports in _endpoints((slice,))
                    if not endpoint or hostname == endpoint
                    for number in _numbers(ports, port, protocol, bare=not labels or bool(endpoint))
                )
                if len(found) > most:
                    break
            return sorted(found) or None
        numbers = list(_numbers(spec.get("ports") or (), port, protocol, bare=False))
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
        return [_Target(own, address, number) for number in numbers for address in addresses if address] or None

    def _alias(self, view: View, name: str, type: int, alias: str, most: int) -> Answer:
        """The answer to a question about an ExternalName."""
        records: list[Record] = []
        seen = {name}
        while len(records) < CHAIN:
            records.append(Record(name, wire.CNAME, TTL, alias))
            if type == wire.CNAME or alias in seen:
                break
            seen.add(alias)
            if not alias.endswith("." + self.domain):
                return Answer(answers=tuple(records), chase=alias if type in (wire.A, wire.AAAA) else "")
            targets = self._targets(view, alias, most) or []
            if targets and targets[0].alias:
                name, alias = alias, targets[0].alias
                continue
            if type in (wire.A, wire.AAAA):
                records += _addresses(alias, type, (target.address for target in targets))
            break
        return Answer(answers=tuple(records))

    # -- addresses

    def _reverse(self, view: View, name: str, type: int) -> Answer | None:
        address = _reversed(name)
        if address is None:
            return None
        names = [f"{meta.name(s)}.{meta.namespace(s)}.svc.{self.domain}" for s in view.services_at(address)][:1]
        if not names:
            names = sorted(self._endpoint_names(view, address))
        if not names:
            return None
        if type != wire.PTR:
            return Answer()
        return Answer(answers=tuple(Record(name, wire.PTR, TTL, target) for target in names))

    def _endpoint_names(self, view: View, address: str) -> set[str]:
        """The names of an endpoint, one in each Service that it serves."""
        found: set[str] = set()
        for slice in view.slices_with(address):
            namespace, service = meta.split_key(service_of(slice))
            found |= {
                f"{hostname}.{service}.{namespace}.svc.{self.domain}"
                for hostname, held, _ in _endpoints((slice,))
                if held == address and service
            }
        return found


def _addresses(name: str, type: int, addresses: Iterable[str]) -> Iterator[Record]:
    for address in dict.fromkeys(addresses):
        if (":" in address) == (type == wire.AAAA):
            yield Record(name, type, TTL, address)


def _ports(name: str, targets: list[_Target]) -> Answer:
    """SRV records, all of the same weight, and the addresses of what they name."""
    answers: dict[Record, None] = {}
    additional: dict[Record, None] = {}
    for target in targets:
        srv = Srv(0, max(100 // len(targets), 1), target.port, target.name)
        answers[Record(name, wire.SRV, TTL, srv)] = None
        type = wire.AAAA if ":" in target.address else wire.A
        additional[Record(target.name, type, TTL, target.address)] = None
    return Answer(answers=tuple(answers), additional=tuple(additional))


def _endpoints(slices: Iterable[Object]) -> Iterator[tuple[str, str, list[Object]]]:
    """Hostname, address and ports of every ready endpoint."""
    for slice in slices:
        for entry in slice.get("endpoints") or ():
            if (entry.get("conditions") or {}).get("ready") is False:
                continue
            for address in entry.get("addresses") or ():
                yield entry.get("hostname") or _dashes(address), address, slice.get("ports") or []


def _numbers(ports: Iterable[Object], name: str, protocol: str, *, bare: bool) -> Iterator[int]:
    """Numbers of the ports asked for ("": any). With ``bare``, -1 stands for having none."""
    held = list(ports)
    if not held and bare:
        yield -1
    for port in held:
        if name and (port.get("name") or "").lower() != name:
            continue
        if protocol and (port.get("protocol") or "TCP").lower() != protocol:
            continue
        yield int(port.get("port") or -1)


def _dashes(address: str) -> str:
    if "." in address:
        return address.replace(".", "-")
    dashed = address.replace(":", "-")
    return dashed + "0" if dashed.endswith("-") else dashed


def _dashed(label: str) -> str:
    """The address in a Pod's name; "" if there is none."""
    v4 = label.count("-") == 3 and "--" not in label
    text = label.replace("-", "." if v4 else ":")
    return text if _is_address(text) else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _reversed(name: str) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for; None if it is not a whole one."""
    try:
        if name.endswith(".in-addr.arpa"):
            return str(ipaddress.IPv4Address(".".join(reversed(name[:-13].split(".")))))
        nibbles = name[:-9].split(".")
        if len(nibbles) != 32 or any(len(nibble) != 1 for nibble in nibbles):
            return None
        return str(ipaddress.IPv6Address(int("".join(reversed(nibbles)), 16)))
    except ValueError:
        return None
