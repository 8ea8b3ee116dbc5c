"""Where connections to a Service's ports may go, kept current slice by slice. Pure.

A pool holds the endpoints of one port, all of them or those on one node: the ready ones; if there are none, those that
still serve while they terminate. A change costs a comparison of a slice with what it was, and work for what differs,
whatever the other slices hold. IPv4 only.
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
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


class Pool:
    """The endpoints to choose from, each with a slot and a number of its own."""

    def __init__(self) -> None:
        self._ready: dict[Endpoint, int] = {}  # how often they are listed
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
        """It is listed once more or less. ``settle`` draws the conclusion."""
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
        self._slices: dict[str, Object] = {}  # as counted
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
            old = self._slices.pop(name, None)
            if slice is not None:
                self._slices[name] = slice
            for entries, by in zip(_difference(old, slice, self._node), (-1, 1), strict=True):
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


def _difference(old: Object | None, new: Object | None, node: str) -> tuple[Iterator[_Entry], Iterator[_Entry]]:
    """What the slice no longer says, and what it says now; of two forms of a slice without what both begin and end
    with."""
    before, after = ((slice.get("endpoints") or []) if slice is not None else [] for slice in (old, new))
    if old is not None and new is not None and all(old.get(name) == new.get(name) for name in ("addressType", "ports")):
        start = _alike(before, after)
        before, after = before[start:], after[start:]
        end = _alike(reversed(before), reversed(after))
        before, after = before[: len(before) - end], after[: len(after) - end]
    return _entries(old, before, node), _entries(new, after, node)


def _alike(some: Iterable[Object], others: Iterable[Object]) -> int:
    """How many of the first are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(some, others, strict=False)))


def _entries(slice: Object | None, endpoints: Iterable[Object], node: str) -> Iterator[_Entry]:
    """What a slice says of these endpoints; what is neither ready nor serves to its end is left out."""
    if slice is None or slice.get("addressType") != "IPv4":
        return
    ports = [
        (PoolKey(port.get("name") or "", port.get("protocol") or "TCP"), int(port["port"]))
        for port in slice.get("ports") or ()
        if port.get("port")
    ]
    for entry in endpoints:
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
