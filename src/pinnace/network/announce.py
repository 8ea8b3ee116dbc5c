"""Load balancers' addresses on the network that nodes share: this machine answers ARP for those it is to receive.

Only addresses of the pool that lie in a network of one of the machine's interfaces (``192.168.1.240`` on a LAN
``192.168.1.0/24``); for others somebody must route. Of the Ready nodes, one answers for an address: the choice depends
on nothing but their addresses and its own, so all nodes make the same one. The kernel forgets what it answered for
only when it is told to: a stop does, and a start takes over what a killed process left.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import zlib
from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.informer import Informer
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.network import links
from pinnace.network.links import Neighbour
from pinnace.network.routes import internal_ip

log = logging.getLogger(__name__)

_BROADCAST = b"\xff" * 6


def elected(address: str, nodes: Iterable[Object]) -> str:
    """The InternalIP of the node that answers for ``address``; "" if none is Ready. Pure."""
    ready = {ip for node in nodes if meta.has_condition(node, "Ready") and (ip := internal_ip(node))}
    return min(ready, key=lambda ip: (zlib.crc32(f"{ip} {address}".encode()), ip), default="")


def addresses(services: Iterable[Object]) -> set[str]:
    """The addresses of all load balancers. Pure."""
    found: set[str] = set()
    for service in services:
        if service["spec"].get("type") == "LoadBalancer":
            balancer = (service.get("status") or {}).get("loadBalancer") or {}
            found.update(str(entry["ip"]) for entry in balancer.get("ingress") or () if entry.get("ip"))
    return found


class Announcer:
    """For the node ``own``, in the network namespace of the thread that starts it. ``pool``: networks."""

    def __init__(self, services: Informer, nodes: Informer, clock: Clock, own: str, pool: tuple[str, ...]) -> None:
        self._services = services
        self._nodes = nodes
        self._own = own
        self._pool = pool
        self._changed = asyncio.Event()
        self._tasks = Tasks("announce", clock)

    def start(self) -> None:
        self._services.add_handler(self._service_changed)
        self._nodes.add_handler(self._node_changed)
        self._tasks.forever(self._run, name="follow")

    async def stop(self) -> None:
        """Idempotent. Raises OSError."""
        await self._tasks.stop()
        withdraw()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if addresses([old] if old else []) != addresses([new] if new else []):
            self._changed.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        def facets(node: Object | None) -> tuple[str, bool]:
            return ("", False) if node is None else (internal_ip(node), meta.has_condition(node, "Ready"))

        if facets(old) != facets(new):
            self._changed.set()

    async def _run(self) -> None:
        await self._services.synced.wait()
        await self._nodes.synced.wait()
        while True:
            self._changed.clear()
            self._apply(self._mine())
            await self._changed.wait()

    def _mine(self) -> set[str]:
        node, nodes = self._nodes.get(self._own), list(self._nodes)
        own = internal_ip(node) if node is not None else ""
        return {address for address in addresses(self._services) if own and elected(address, nodes) == own}

    def _apply(self, wanted: set[str]) -> None:
        """Raises OSError."""
        held = links.answered_for()
        here = {Neighbour(index, a) for a in wanted if (index := links.on_link(a, self._pool)) is not None}
        for neighbour in held - here:
            links.answer_for(neighbour, yes=False)
        for neighbour in here - held:
            links.answer_for(neighbour, yes=True)
            _tell(neighbour)
            log.info("this machine answers for the load balancer's address %s", neighbour.address)


def withdraw() -> None:
    """Answer for no address. Raises OSError."""
    for neighbour in links.answered_for():
        links.answer_for(neighbour, yes=False)


def _tell(neighbour: Neighbour) -> None:
    """A gratuitous ARP, so that those who knew another machine at the address turn to this one."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((socket.if_indextoname(neighbour.link), 0))
            mac = raw.getsockname()[4][:6]
            packed = socket.inet_aton(neighbour.address)
            request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed + bytes(6) + packed
            raw.send(_BROADCAST + mac + b"\x08\x06" + request)
    except OSError as error:
        log.warning("cannot tell the network of %s: %s", neighbour.address, error.strerror or error)
