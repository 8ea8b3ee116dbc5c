"""The host's side of the Pod network: an address and a route for what Pods and Services need of it, and forwarding.

An interface without a wire carries the address where Pods reach the API server and DNS, and a route covers the Service
addresses, so that connections to them get as far as the rules that rewrite them. What was changed is written on the
interface itself (its alias): it lives exactly as long as the change, so a start after a crash, or ``pinnace down
--purge``, finds what to put back. One cluster per network namespace: an abstract socket is the lock, gone with its
process however that ends.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from pinnace.network import links

log = logging.getLogger(__name__)

INTERFACE = "pinnace0"
_LOCK = b"\0pinnace/network"
#: What forwarding Pods' packets and NodePorts on 127.0.0.1 need; the proxy's rules guard the latter.
_SETTINGS = {"ip_forward": "1", "conf/all/route_localnet": "1"}
_PROC = Path("/proc/sys/net/ipv4")


class HostError(Exception):
    """The host could not be prepared; says what to do."""


class HostTaken(HostError):
    """Another cluster holds this network namespace."""


class Host:
    """The network namespace that the calling thread is in."""

    def __init__(self, *, address: str, service_cidr: str, pool: Sequence[str] = ()) -> None:
        """``pool``: the networks of load balancers' addresses."""
        self.address = address
        self.service_cidr = service_cidr
        self.pool = tuple(pool)
        #: Where packets come from that the host did not forward before and, Pods' apart, must not forward now: the
        #: interface of the default route; "" if it forwarded them already.
        self.closed_interface = ""
        self._lock: socket.socket | None = None

    async def prepare(self) -> None:
        """Return once the address answers. Idempotent. Raises HostError (HostTaken)."""
        if self._lock is not None:
            return
        lock = _take_lock()
        try:
            before = _prepare(self.address, (self.service_cidr, *self.pool))
        except OSError as error:
            lock.close()
            hint = "; it needs root" if error.errno in (errno.EPERM, errno.EACCES) else ""
            raise HostError(f"cannot prepare the host's network: {error.strerror or error}{hint}") from error
        except BaseException:
            lock.close()
            raise
        if before["ip_forward"] == "0" and (outside := links.default_link()) is not None:
            self.closed_interface = outside.name
        self._lock = lock

    async def restore(self, *, keep_forwarding: bool = False) -> None:
        """Put everything back, but with ``keep_forwarding`` let the host forward on: what was started meanwhile
        (Docker) found it on and relies on it. Idempotent; nothing happens if ``prepare`` did not succeed."""
        if self._lock is None:
            return
        try:
            _restore(keep_forwarding=keep_forwarding)
        finally:
            self._lock.close()
            self._lock = None


def remove_leftovers() -> None:
    """Put back what a process that was killed left changed: the interface, settings, rules, routes. Where a cluster is
    at work they are its own, and stay. Blocks for milliseconds. Raises HostError."""
    from pinnace.network import announce, routes
    from pinnace.network.proxy import nft, proxy, skeleton

    try:
        lock = _take_lock()
    except HostTaken:
        return
    try:
        others_forward = False
        if nft.is_installed():
            rules = nft.Nft()
            try:
                others_forward = proxy.remove(rules)
            finally:
                rules.close()
        routes.remove_all()
        announce.withdraw()
        _restore(keep_forwarding=others_forward)
    except OSError as error:
        raise HostError(f"cannot put the host's network back: {error.strerror or error}") from error
    except nft.NftError as error:
        raise HostError(f"cannot remove the table '{skeleton.TABLE}': {error}") from error
    finally:
        lock.close()


def _take_lock() -> socket.socket:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(_LOCK)
    except OSError as error:
        lock.close()
        if error.errno == errno.EADDRINUSE:
            raise HostTaken(
                "another Pinnace cluster runs the network of this machine (one per network namespace); "
                "stop it with 'pinnace down', or start this one with --runtime simulated"
            ) from error
        raise
    return lock


def _prepare(address: str, routed: Sequence[str]) -> dict[str, str]:
    """The settings as they were before."""
    link = links.find(INTERFACE)
    if link is None:
        before = {name: (_PROC / name).read_text().strip() for name in _SETTINGS}
        link = _add_interface(" ".join(f"{name}={value}" for name, value in before.items()))
    else:
        before = _recorded(link)
    links.add_address(link.index, address)
    links.set_up(link.index)
    for network in routed:
        links.add_route(network, link.index)
        if others := links.routes_inside(network, but=link.index):
            log.warning(
                "this machine routes %s elsewhere: Services with such addresses (of %s) are out of its own reach",
                ", ".join(others),
                network,
            )
    loopback = links.find("lo")
    if loopback is not None and not loopback.up:
        links.set_up(loopback.index)
    for name, value in _SETTINGS.items():
        (_PROC / name).write_text(value)
    return before


def _add_interface(note: str) -> links.Link:
    try:
        return links.add(INTERFACE, "dummy", note)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    return links.add(INTERFACE, "bridge", note)  # a kernel without dummy interfaces; one without ports does the same


def _recorded(link: links.Link) -> dict[str, str]:
    """The settings noted on the interface; without a note, what they are by default."""
    pairs = (part.partition("=") for part in link.alias.split())
    noted = {name: value for name, _, value in pairs if name in _SETTINGS and value in ("0", "1")}
    return {name: noted.get(name, "0") for name in _SETTINGS}


def _restore(*, keep_forwarding: bool) -> None:
    link = links.find(INTERFACE)
    if link is None:
        return
    for name, value in _recorded(link).items():
        if not (keep_forwarding and name == "ip_forward"):
            (_PROC / name).write_text(value)
    links.delete(link.index)
