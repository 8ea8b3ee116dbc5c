"""The kernel's table of connections: UDP entries that lead to an endpoint that is gone, or to none, are removed.

UDP has no end: without this a client that keeps its port would send into the void for as long as it keeps sending.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pinnace.network import netlink
from pinnace.network.netlink import DUMP, NETLINK_NETFILTER, Netlink

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE, _IP_DESTINATION = 1, 2
_PROTO_NUMBER, _PROTO_DESTINATION_PORT = 1, 3
_HEADER = struct.pack("=BBH", socket.AF_INET, 0, 0)


#: The endpoint of connections that were not led elsewhere.
NOWHERE = ""


class Gone(NamedTuple):
    """A way that no longer exists: from ``address`` (any one if "") and ``port`` to ``endpoint``."""

    address: str
    port: int
    endpoint: str


def forget_udp(gone: Iterable[Gone]) -> int:
    """Remove the UDP entries of those ways; how many there were. Blocks for as long as a dump of the table takes.
    Raises OSError."""
    wanted = set(gone)
    count = 0
    with Netlink(NETLINK_NETFILTER) as kernel:
        for original, way in list(_udp(kernel)):
            if way.endpoint == way.address:
                way = way._replace(endpoint=NOWHERE)
            if way in wanted or way._replace(address="") in wanted:
                count += _remove(kernel, original)
    return count


def _udp(kernel: Netlink) -> Iterator[tuple[bytes, Gone]]:
    """The original tuple of every UDP entry, and the way it goes."""
    for body in kernel.ask(_GET, DUMP, _HEADER):
        found = netlink.attributes(body[len(_HEADER) :])
        if _TUPLE_ORIGINAL not in found or _TUPLE_REPLY not in found:
            continue
        original = netlink.attributes(found[_TUPLE_ORIGINAL])
        proto = netlink.attributes(original.get(_TUPLE_PROTO, b""))
        if proto.get(_PROTO_NUMBER, b"\0")[0] != socket.IPPROTO_UDP:
            continue
        reply = netlink.attributes(netlink.attributes(found[_TUPLE_REPLY])[_TUPLE_IP])
        address = netlink.attributes(original[_TUPLE_IP])[_IP_DESTINATION]
        (port,) = struct.unpack("!H", proto[_PROTO_DESTINATION_PORT])
        way = Gone(socket.inet_ntoa(address), port, socket.inet_ntoa(reply[_IP_SOURCE]))
        yield found[_TUPLE_ORIGINAL], way


def _remove(kernel: Netlink, original: bytes) -> int:
    try:
        kernel.ask(_DELETE, 0, _HEADER + netlink.attribute(_TUPLE_ORIGINAL | netlink.NESTED, original))
    except OSError as error:
        if error.errno == errno.ENOENT:  # it ended by itself meanwhile
            return 0
        raise
    return 1
