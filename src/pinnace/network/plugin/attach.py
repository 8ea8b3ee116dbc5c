"""A Pod's interface, as the ptp plugin makes it: a pair of veths, the Pod's address at one end, the gateway's and a
route to the Pod at the other. Nothing but the gateway is on the Pod's link.

Calls block for as long as the kernel takes, and switch the calling thread between network namespaces: they belong into
a thread of their own.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pinnace.network import netlink
from pinnace.network.netlink import CREATE, EXCLUSIVE, REPLACE, Netlink

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE = 16, 17, 18, 20, 24
_HARDWARE, _IFNAME, _MTU, _LINKINFO, _NET_NS_FD = 1, 3, 4, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ADDRESS, _LOCAL, _BROADCAST, _FLAGS = 1, 2, 4, 8
_DST, _OIF, _GATEWAY, _SOURCE = 1, 4, 5, 7
_UP, _NO_PREFIX_ROUTE = 0x1, 0x200
_MAIN, _BOOT, _UNICAST = 254, 3, 1
_UNIVERSE, _ON_LINK, _ON_HOST = 0, 253, 254
_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_CLONE_NEWNET = 0x40000000
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_libc = ctypes.CDLL(None, use_errno=True)


class Attached(NamedTuple):
    """The names and hardware addresses of both ends."""

    host_name: str
    host_mac: str
    pod_mac: str


class Space:
    """The network namespace that the calling thread is in, to come back to."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._home)

    def enter(self) -> None:
        """Have the calling thread in it. Raises OSError."""
        _enter(self._home)

    @contextmanager
    def away(self, other: int) -> Iterator[None]:
        """In another namespace, by its descriptor."""
        _enter(other)
        try:
            yield
        finally:
            self.enter()


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def host_name(container: str, interface: str) -> str:
    """What the host's end is called: known without asking anybody."""
    return "veth" + hashlib.sha1(f"{container}/{interface}".encode(), usedforsecurity=False).hexdigest()[:8]


def loopback(home: Space, namespace: str) -> None:
    """Raises OSError."""
    with _opened(namespace) as there, home.away(there), Netlink(netlink.NETLINK_ROUTE) as kernel:
        kernel.ask(_NEWLINK, 0, _LINK.pack(0, 0, 1, _UP, _UP))


def attach(
    home: Space, namespace: str, container: str, interface: str, *, address: str, gateway: str, subnet: str, mtu: int
) -> Attached:
    """Raises OSError, and leaves nothing then."""
    name = host_name(container, interface)
    with _opened(namespace) as there, Netlink(netlink.NETLINK_ROUTE) as kernel:
        _remove(kernel, name)  # of an attempt that came to nothing
        _make(kernel, name, there, interface, mtu)
        try:
            index, host_mac = _find(kernel, name)
            with home.away(there), Netlink(netlink.NETLINK_ROUTE) as pod:
                pod_mac = _configure(pod, interface, address, gateway, subnet)
            _give(kernel, index, gateway, 32)
            _route(kernel, index, f"{address}/32", scope=_ON_HOST)
            if _FORWARD.read_text().strip() != "1":
                _FORWARD.write_text("1")
        except BaseException:
            _remove(kernel, name)
            raise
    return Attached(name, host_mac, pod_mac)


def detach(home: Space, namespace: str, container: str, interface: str) -> None:
    """Nothing happens if there is no such interface; ``namespace`` may be gone. Raises OSError."""
    with Netlink(netlink.NETLINK_ROUTE) as kernel:
        if _remove(kernel, host_name(container, interface)) or not namespace:
            return
    try:
        with _opened(namespace) as there, home.away(there), Netlink(netlink.NETLINK_ROUTE) as kernel:
            _remove(kernel, interface)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file that is no namespace: it is gone, its place is left
            raise


@contextmanager
def _opened(namespace: str) -> Iterator[int]:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make(kernel: Netlink, name: str, there: int, interface: str, mtu: int) -> None:
    peer = _LINK.pack(0, 0, 0, 0, 0) + netlink.text(_IFNAME, interface)
    peer += netlink.number(_MTU, mtu) + netlink.number(_NET_NS_FD, there)
    info = netlink.attribute(_INFO_KIND, b"veth")
    info += netlink.attribute(_INFO_DATA, netlink.attribute(_VETH_PEER, peer))
    body = _LINK.pack(0, 0, 0, _UP, _UP) + netlink.text(_IFNAME, name)
    body += netlink.number(_MTU, mtu) + netlink.attribute(_LINKINFO, info)
    kernel.ask(_NEWLINK, CREATE | EXCLUSIVE, body)


def _find(kernel: Netlink, name: str) -> tuple[int, str]:
    """Index and hardware address."""
    body = kernel.ask(_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + netlink.text(_IFNAME, name))[0]
    hardware = netlink.attributes(body[_LINK.size :])[_HARDWARE]
    return _LINK.unpack_from(body)[2], hardware.hex(":")


def _remove(kernel: Netlink, name: str) -> bool:
    """Whether it was there."""
    try:
        kernel.ask(_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + netlink.text(_IFNAME, name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    return True


def _configure(kernel: Netlink, interface: str, address: str, gateway: str, subnet: str) -> str:
    """In the Pod's namespace. The interface's hardware address."""
    index, hardware = _find(kernel, interface)
    kernel.ask(_NEWLINK, 0, _LINK.pack(0, 0, index, _UP, _UP))
    _give(kernel, index, address, int(subnet.partition("/")[2]))
    _route(kernel, index, f"{gateway}/32", scope=_ON_LINK, source=address)
    _route(kernel, index, subnet, gateway=gateway, source=address)
    _route(kernel, index, "0.0.0.0/0", gateway=gateway)
    return hardware


def _give(kernel: Netlink, index: int, address: str, prefix: int) -> None:
    packed = socket.inet_aton(address)
    body = _ADDR.pack(socket.AF_INET, prefix, 0, _UNIVERSE, index)
    if prefix < 31:
        network = ipaddress.IPv4Network((address, prefix), strict=False)
        body += netlink.attribute(_BROADCAST, network.broadcast_address.packed)
    body += netlink.attribute(_LOCAL, packed) + netlink.attribute(_ADDRESS, packed)
    kernel.ask(_NEWADDR, CREATE | REPLACE, body + netlink.number(_FLAGS, _NO_PREFIX_ROUTE))


def _route(
    kernel: Netlink, index: int, network: str, *, scope: int = _UNIVERSE, gateway: str = "", source: str = ""
) -> None:
    address, _, prefix = network.partition("/")
    body = _ROUTE.pack(socket.AF_INET, int(prefix), 0, 0, _MAIN, _BOOT, scope, _UNICAST, 0)
    if int(prefix):
        body += netlink.attribute(_DST, socket.inet_aton(address))
    for kind, value in ((_GATEWAY, gateway), (_SOURCE, source)):
        if value:
            body += netlink.attribute(kind, socket.inet_aton(value))
    kernel.ask(_NEWROUTE, CREATE | REPLACE, body + netlink.number(_OIF, index))
