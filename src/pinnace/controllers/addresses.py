"""The addresses of a Service's Pods as Endpoints list them: by ports, ready ones and others apart, in order. Pure.

A Pod's change costs a search in a sorted list. At most ``CAPACITY`` addresses are listed: the ready ones first, of
several ports each in proportion, as upstream truncates them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import NamedTuple

import orjson

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import podstate, slices

CAPACITY = 1000


class _Row(NamedTuple):
    ip: str
    ports: bytes
    ready: bool


class _Group(NamedTuple):
    """Pods of the same ports, as (IP, key)."""

    ports: list[Object]
    ready: list[tuple[str, str]]
    unready: list[tuple[str, str]]


class Addresses:
    """Of one Service, as it is."""

    def __init__(self, service: Object) -> None:
        self.service = service
        self._publish = bool(service["spec"].get("publishNotReadyAddresses"))
        self._family = slices.address_types(service)[0]
        self._rows: dict[str, _Row] = {}
        self._shown: dict[str, Object] = {}
        self._groups: dict[bytes, _Group] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: str, pod: Object | None) -> None:
        """The Pod is like this now (None: gone, or not selected)."""
        self._remove(key)
        if pod is None or not slices.is_endpoint(pod) or (meta.is_deleting(pod) and not self._publish):
            return
        addresses = slices.pod_addresses(pod, self._family)
        ports = [_port(port) for port in slices.ports_of(self.service, pod)]
        without_ports = slices.is_headless(self.service) and not self.service["spec"].get("ports")
        if not addresses or not (ports or without_ports):
            return
        row = _Row(addresses[0], orjson.dumps(ports), self._publish or podstate.is_ready(pod))
        group = self._groups.setdefault(row.ports, _Group(ports, [], []))
        insort(group.ready if row.ready else group.unready, (row.ip, key))
        self._rows[key] = row
        self._shown[key] = self._address(pod, row.ip)

    def _remove(self, key: str) -> None:
        row = self._rows.pop(key, None)
        if row is None:
            return
        del self._shown[key]
        group = self._groups[row.ports]
        part = group.ready if row.ready else group.unready
        del part[bisect_left(part, (row.ip, key))]
        if not group.ready and not group.unready:
            del self._groups[row.ports]

    def subsets(self) -> tuple[list[Object], bool]:
        """What to list, and whether something is left out."""
        groups = [group for _, group in sorted(self._groups.items())]
        ready = sum(len(group.ready) for group in groups)
        unready = len(self._rows) - ready
        ready_shares = _shares([len(group.ready) for group in groups], CAPACITY)
        unready_shares = _shares([len(group.unready) for group in groups], max(CAPACITY - ready, 0))
        result: list[Object] = []
        for group, some, others in zip(groups, ready_shares, unready_shares, strict=True):
            entry: Object = {}
            if some:
                entry["addresses"] = [self._shown[key] for _, key in group.ready[:some]]
            if others:
                entry["notReadyAddresses"] = [self._shown[key] for _, key in group.unready[:others]]
            if entry and group.ports:
                entry["ports"] = group.ports
            if entry:
                result.append(entry)
        return result, ready + unready > CAPACITY

    def _address(self, pod: Object, ip: str) -> Object:
        address: Object = {"ip": ip}
        if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == meta.name(self.service):
            address["hostname"] = pod["spec"]["hostname"]
        if podstate.node_of(pod):
            address["nodeName"] = podstate.node_of(pod)
        address["targetRef"] = {
            "kind": "Pod",
            "namespace": meta.namespace(pod),
            "name": meta.name(pod),
            "uid": meta.uid(pod),
        }
        return address


def _port(port: Object) -> Object:
    return {name: value for name, value in port.items() if value != ""}


def _shares(counts: list[int], most: int) -> list[int]:
    """How many of each to take for ``most`` in all: in proportion, rounded up as long as there is room."""
    total, left = sum(counts), most
    if total <= most:
        return counts
    shares: list[int] = []
    for count in counts:
        share = min(math.ceil(count / total * most), left)
        left -= share
        shares.append(share)
    return shares
