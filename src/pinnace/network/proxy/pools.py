"""Where connections to a Service's ports may go, kept current slice by slice. Pure.

A pool holds the endpoints of one port, all of them or those on one node: the ready ones; if there are none, those that
still serve while they terminate. A change of a slice costs as much as the slice is long, whatever the other slices
hold. IPv4 only.
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pinnace.api.types import Object
from pinnace.network.proxy.slots import Moves, Slots


class Endpoint(NamedTuple):
    address: str
    port: int


class PoolKey(NamedTuple):
    """A port by its name and protocol (as the API writes it)."""

    name: str
    protocol: str
    local: bool = False


class _Entry(NamedTuple):
    """An endpoint's part in a slice. ``port`` is None for what does not depend on ports."""

    port: PoolKey | None
    endpoint: Endpoint
    ready: bool
    local: bool


_NONE: frozenset[_Entry] = frozenset()


class Pool:
    """The endpoints to choose from, each with a slot and a number of its own."""

    def __init__(self) -> None:
        self._ready: dict[Endpoint, int] = {}  # in how many slices
        self._serving: dict[Endpoint, int] = {}
        self._touched: set[Endpoint] = set()
        self._of_ready = True
        self._slots: Slots[Endpoint] = Slots()
        self._numbers: dict[Endpoint, int] = {}
        self._taken: set[int] = set()

    @property
    def held(self) -> list[Endpoint]:
        """By slot."""
        return self._slots.held

    def number(self, endpoint: Endpoint) -> int:
        """It depends (but for a clash) on nothing but the endpoint, and stays while that is there; never 0."""
        number = self._numbers.get(endpoint)
        if number is None:
            number = zlib.crc32(f"{endpoint.address}:{endpoint.port}".encode())
            while not number or number in self._taken:
                number = (number + 1) & 0xFFFFFFFF
            self._numbers[endpoint] = number
            self._taken.add(number)
        return number

    def forget_numbers(self, left: Iterable[Endpoint]) -> None:
        for endpoint in left:
            self._taken.discard(self._numbers.pop(endpoint, 0))

    def count(self, endpoint: Endpoint, by: int, *, ready: bool) -> None:
        """One slice more or less has it. ``settle`` makes it so."""
        counts = self._ready if ready else self._serving
        now = counts.get(endpoint, 0) + by
        if now:
            counts[endpoint] = now
        else:
            del counts[endpoint]
        self._touched.add(endpoint)

    def settle(self) -> Moves[Endpoint]:
        """Give slots to those who are to have them now."""
        wanted, touched = self._ready or self._serving, self._touched
        if self._of_ready != bool(self._ready):
            touched.update(self._slots.held, wanted)
            self._of_ready = bool(self._ready)
        left = [endpoint for endpoint in touched if endpoint in self._slots and endpoint not in wanted]
        came = sorted(endpoint for endpoint in touched if endpoint in wanted and endpoint not in self._slots)
        self._touched = set()
        return self._slots.change(left, came)


class Pools:
    """All pools of one Service."""

    def __init__(self, node_name: str) -> None:
        """``node_name``: whose endpoints are the local ones."""
        self._node = node_name
        self._slices: dict[str, frozenset[_Entry]] = {}
        self._pools: dict[PoolKey, Pool] = {}
        self._local: dict[str, int] = {}  # addresses of ready endpoints on the node, and how often they are listed

    @property
    def local(self) -> int:
        """How many ready endpoints are on the node."""
        return len(self._local)

    def held(self, key: PoolKey) -> list[Endpoint]:
        """By slot."""
        pool = self._pools.get(key)
        return pool.held if pool is not None else []

    def number(self, key: PoolKey, endpoint: Endpoint) -> int:
        return self._pools[key].number(endpoint)

    def forget_numbers(self, key: PoolKey, left: Iterable[Endpoint]) -> None:
        """Once those that left have been told of."""
        self._pools[key].forget_numbers(left)

    def change(self, slices: Mapping[str, Object | None]) -> dict[PoolKey, Moves[Endpoint]]:
        """Take over these slices (None: gone), by their names. What became of which pool."""
        touched: dict[PoolKey, Pool] = {}
        for name, slice in slices.items():
            old = self._slices.pop(name, _NONE)
            new = frozenset(_entries(slice, self._node)) if slice is not None else _NONE
            if new:
                self._slices[name] = new
            for entries, by in ((old - new, -1), (new - old, 1)):
                for entry in entries:
                    self._count(entry, by, touched)
        moves = {key: pool.settle() for key, pool in touched.items()}
        return {key: moved for key, moved in moves.items() if moved.slots}

    def _count(self, entry: _Entry, by: int, touched: dict[PoolKey, Pool]) -> None:
        if entry.port is None:
            address = entry.endpoint.address
            self._local[address] = self._local.get(address, 0) + by
            if not self._local[address]:
                del self._local[address]
            return
        for key in (entry.port, entry.port._replace(local=True)) if entry.local else (entry.port,):
            pool = touched.get(key)
            if pool is None:
                pool = touched[key] = self._pools.setdefault(key, Pool())
            pool.count(entry.endpoint, by, ready=entry.ready)


def _entries(slice: Object, node: str) -> Iterator[_Entry]:
    """What a slice says; what is neither ready nor serves to its end is left out."""
    if slice.get("addressType") != "IPv4":
        return
    ports = [
        (PoolKey(port.get("name") or "", port.get("protocol") or "TCP"), int(port["port"]))
        for port in slice.get("ports") or ()
        if port.get("port")
    ]
    for entry in slice.get("endpoints") or ():
        ready = _is_ready(entry.get("conditions") or {})
        address = ipv4((entry.get("addresses") or [""])[0])
        if ready is None or not address:
            continue
        local = entry.get("nodeName") == node
        if ready and local:
            yield _Entry(None, Endpoint(address, 0), ready, local)
        for key, number in ports:
            yield _Entry(key, Endpoint(address, number), ready, local)


def _is_ready(conditions: Object) -> bool | None:
    """None: neither ready nor one that still serves while it terminates."""
    if conditions.get("ready") is not False:  # not said counts as ready
        return True
    return False if conditions.get("terminating") and conditions.get("serving") is not False else None


def ipv4(value: object) -> str:
    """The address as the kernel shows it; "" for anything else."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, value)) if isinstance(value, str) else ""
    except (OSError, ValueError):
        return ""
