"""Interfaces, addresses and routes of the network namespace that the calling thread is in."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pinnace.network import netlink
from pinnace.network.netlink import CREATE, DUMP, EXCLUSIVE, REPLACE, Netlink

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR = 20
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26

_IFNAME, _MTU, _LINKINFO, _IFALIAS = 3, 4, 18, 20
_INFO_KIND = 1
_ADDRESS, _LOCAL = 1, 2
_DST, _OIF, _GATEWAY = 1, 4, 5

_UP = 0x1
_PROXY, _PERMANENT = 0x08, 0x80
_NEIGHBOUR_ADDRESS, _NEIGHBOUR_PROTOCOL = 1, 12
_SCOPE_LINK, _SCOPE_UNIVERSE, _SCOPE_NOWHERE = 253, 0, 255
_TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST = 254, 4, 1
#: Who made it: routes to other nodes' Pods and neighbours have a number of their own, by which they are found again.
_PROTOCOL_OURS = 106

_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True, slots=True)
class Link:
    """One interface."""

    index: int
    name: str
    mtu: int
    up: bool
    alias: str


class Neighbour(NamedTuple):
    """An address that this machine answers for on an interface, as a proxy."""

    link: int
    address: str


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = netlink.attributes(body[_LINK.size :])
    return Link(
        index,
        found[_IFNAME].rstrip(b"\0").decode(),
        struct.unpack("=I", found[_MTU])[0],
        bool(flags & _UP),
        found.get(_IFALIAS, b"").rstrip(b"\0").decode("utf-8", "replace"),
    )


def find(name: str) -> Link | None:
    """The interface of that name."""
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        try:
            answers = kernel.ask(_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + netlink.text(_IFNAME, name))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
    return _link(answers[0])


def add(name: str, kind: str, alias: str) -> Link:
    """An interface of a kind that needs no more (dummy, bridge) and remembers ``alias``. Raises OSError."""
    info = netlink.attribute(_LINKINFO, netlink.attribute(_INFO_KIND, kind.encode()))
    named = _LINK.pack(0, 0, 0, 0, 0) + netlink.text(_IFNAME, name)
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWLINK, CREATE | EXCLUSIVE, named + info)
        kernel.ask(_NEWLINK, 0, named + netlink.attribute(_IFALIAS, alias.encode()))
    link = find(name)
    assert link is not None
    return link


def set_up(index: int) -> None:
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWLINK, 0, _LINK.pack(0, 0, index, _UP, _UP))


def delete(index: int) -> None:
    """Remove an interface, and with it its addresses and routes."""
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0))


def add_address(index: int, address: str) -> None:
    """Give the interface a /32; nothing happens if it has it."""
    packed = socket.inet_aton(address)
    body = _ADDR.pack(socket.AF_INET, 32, 0, _SCOPE_UNIVERSE, index)
    body += netlink.attribute(_LOCAL, packed) + netlink.attribute(_ADDRESS, packed)
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWADDR, CREATE | REPLACE, body)


def add_route(network: str, index: int) -> None:
    """Route ``network`` (``10.96.0.0/16``) to the interface."""
    address, _, prefix = network.partition("/")
    body = _ROUTE.pack(socket.AF_INET, int(prefix), 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST, 0)
    body += netlink.attribute(_DST, socket.inet_aton(address)) + netlink.number(_OIF, index)
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWROUTE, CREATE | REPLACE, body)


def add_node_route(network: str, gateway: str) -> None:
    """Send what is for ``network`` to another node. Raises OSError, also for a gateway out of reach."""
    address, _, prefix = network.partition("/")
    body = _ROUTE.pack(socket.AF_INET, int(prefix), 0, 0, _TABLE_MAIN, _PROTOCOL_OURS, _SCOPE_UNIVERSE, _UNICAST, 0)
    body += netlink.attribute(_DST, socket.inet_aton(address)) + netlink.attribute(_GATEWAY, socket.inet_aton(gateway))
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWROUTE, CREATE | REPLACE, body)


def delete_node_route(network: str) -> None:
    """Nothing happens if there is none."""
    address, _, prefix = network.partition("/")
    body = _ROUTE.pack(socket.AF_INET, int(prefix), 0, 0, _TABLE_MAIN, _PROTOCOL_OURS, _SCOPE_NOWHERE, 0, 0)
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        try:
            kernel.ask(_DELROUTE, 0, body + netlink.attribute(_DST, socket.inet_aton(address)))
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise


def node_routes() -> dict[str, str]:
    """The gateways of the networks that ``add_node_route`` made known, by a process that may be gone."""
    found: dict[str, str] = {}
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        for route in kernel.ask(_GETROUTE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, protocol, *_ = _ROUTE.unpack_from(route)
            held = netlink.attributes(route[_ROUTE.size :])
            if table == _TABLE_MAIN and protocol == _PROTOCOL_OURS and _DST in held and _GATEWAY in held:
                found[f"{socket.inet_ntoa(held[_DST])}/{length}"] = socket.inet_ntoa(held[_GATEWAY])
    return found


def routes_inside(network: str, *, but: int) -> list[str]:
    """Routes of the main table to (parts of) ``network`` that do not leave by the interface ``but``."""
    wanted = ipaddress.IPv4Network(network)
    found: list[str] = []
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        for route in kernel.ask(_GETROUTE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, *_ = _ROUTE.unpack_from(route)
            held = netlink.attributes(route[_ROUTE.size :])
            if table != _TABLE_MAIN or _DST not in held or held.get(_OIF) == struct.pack("=I", but):
                continue
            destination = ipaddress.IPv4Network((held[_DST], length))
            if destination.subnet_of(wanted):
                found.append(str(destination))
    return found


def on_link(address: str, pool: Iterable[str]) -> int | None:
    """The interface on whose own network an address is, if it is in ``pool`` too (networks)."""
    wanted = ipaddress.IPv4Address(address)
    if not any(wanted in ipaddress.IPv4Network(network) for network in pool):
        return None
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        for route in kernel.ask(_GETROUTE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, protocol, scope, *_ = _ROUTE.unpack_from(route)
            held = netlink.attributes(route[_ROUTE.size :])
            if table != _TABLE_MAIN or scope != _SCOPE_LINK or protocol == _PROTOCOL_STATIC or _DST not in held:
                continue  # what the kernel made for an interface's own address is neither
            if wanted in ipaddress.IPv4Network((held[_DST], length)):
                return int.from_bytes(held[_OIF], sys.byteorder)
    return None


def answer_for(neighbour: Neighbour, *, yes: bool) -> None:
    """Answer ARP for an address of others, or no longer. Raises OSError."""
    body = _NEIGHBOUR.pack(socket.AF_INET, neighbour.link, _PERMANENT, _PROXY, 0)
    body += netlink.attribute(_NEIGHBOUR_ADDRESS, socket.inet_aton(neighbour.address))
    body += netlink.attribute(_NEIGHBOUR_PROTOCOL, bytes([_PROTOCOL_OURS]))
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        try:
            kernel.ask(*((_NEWNEIGH, CREATE | REPLACE) if yes else (_DELNEIGH, 0)), body)
        except OSError as error:
            if yes or error.errno not in (errno.ENOENT, errno.ENODEV):
                raise


def answered_for() -> set[Neighbour]:
    """What ``answer_for`` was told to answer for, by a process that may be gone."""
    found: set[Neighbour] = set()
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        for body in kernel.ask(_GETNEIGH, DUMP, _NEIGHBOUR.pack(socket.AF_INET, 0, 0, _PROXY, 0)):
            _, link, _, flags, _ = _NEIGHBOUR.unpack_from(body)
            held = netlink.attributes(body[_NEIGHBOUR.size :])
            if flags & _PROXY and held.get(_NEIGHBOUR_PROTOCOL, b"")[:1] == bytes([_PROTOCOL_OURS]):
                found.add(Neighbour(link, socket.inet_ntoa(held[_NEIGHBOUR_ADDRESS])))
    return found


def default_link() -> Link | None:
    """The interface that the default route leaves by."""
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        routes = kernel.ask(_GETROUTE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))
        for route in routes:
            _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(route)
            found = netlink.attributes(route[_ROUTE.size :])
            if length == 0 and table == _TABLE_MAIN and kind == _UNICAST and _OIF in found:
                index = struct.unpack("=I", found[_OIF])[0]
                answers = kernel.ask(_GETLINK, 0, _LINK.pack(0, 0, index, 0, 0))
                return _link(answers[0])
    return None
