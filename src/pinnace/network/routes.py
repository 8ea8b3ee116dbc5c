"""Ways to the Pods of other nodes: for each node's range a route by its InternalIP, on the network the nodes share.

Pods are reached with their own addresses, without tunnels. Nodes with this machine's address (simulated ones) have
none, and neither have ranges outside the cluster's: an object must not send other traffic elsewhere. The kernel keeps
the routes while no process runs; a start takes them over, a stop removes them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.informer import Informer
from pinnace.core.clock import Clock, timeout
from pinnace.core.supervisor import Tasks
from pinnace.network import links

log = logging.getLogger(__name__)

#: Seconds after which a route that the kernel refused is tried again.
RETRY = 10.0


def wanted(nodes: Iterable[Object], own: str, cluster_cidr: str) -> dict[str, str]:
    """Range to gateway for the node ``own``; nothing before that node is there. Pure. Of two nodes that claim a range,
    the first by name has it, and one that touches the node's own is nobody's."""
    cluster = ipaddress.IPv4Network(cluster_cidr)
    by_name = {meta.name(node): node for node in nodes}
    if own not in by_name:
        return {}
    mine, address = list(_ranges(by_name[own])), internal_ip(by_name[own])
    found: dict[str, str] = {}
    for name in sorted(by_name):
        gateway = internal_ip(by_name[name])
        if name == own or not gateway or gateway == address:
            continue
        for cidr in _ranges(by_name[name]):
            if cidr.subnet_of(cluster) and not any(cidr.overlaps(own_range) for own_range in mine):
                found.setdefault(str(cidr), gateway)
    return found


def internal_ip(node: Object) -> str:
    """The node's IPv4 address on the network that nodes share; "" if it has none yet."""
    for entry in (node.get("status") or {}).get("addresses") or ():
        if entry.get("type") == "InternalIP":
            try:
                return str(ipaddress.IPv4Address(entry.get("address")))
            except ValueError:
                continue
    return ""


def _ranges(node: Object) -> Iterable[ipaddress.IPv4Network]:
    spec = node.get("spec") or {}
    for text in spec.get("podCIDRs") or [spec.get("podCIDR")]:
        try:
            yield ipaddress.IPv4Network(text)
        except (ValueError, TypeError):
            continue


class NodeRoutes:
    """Keeps the kernel's routes as ``wanted`` says, in the network namespace of the thread that starts it."""

    def __init__(self, nodes: Informer, clock: Clock, own: str, cluster_cidr: str) -> None:
        self._nodes = nodes
        self._clock = clock
        self._own = own
        self._cluster_cidr = cluster_cidr
        self._changed = asyncio.Event()
        self._refused: dict[str, str] = {}
        self._tasks = Tasks("routes", clock)

    def start(self) -> None:
        self._nodes.add_handler(self._node_changed)
        self._tasks.forever(self._run, name="follow")

    async def stop(self) -> None:
        """Idempotent. Raises OSError."""
        await self._tasks.stop()
        remove_all()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if _facets(old) != _facets(new):
            self._changed.set()

    async def _run(self) -> None:
        await self._nodes.synced.wait()
        while True:
            self._changed.clear()
            self._apply(wanted(self._nodes, self._own, self._cluster_cidr))
            try:
                async with timeout(self._clock, RETRY if self._refused else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _apply(self, routes: Mapping[str, str]) -> None:
        """Add, replace and remove; what the kernel refuses is logged once. Raises OSError."""
        held = links.node_routes()
        for cidr in held.keys() - routes.keys():
            links.delete_node_route(cidr)
        refused: dict[str, str] = {}
        for cidr, gateway in routes.items():
            if held.get(cidr) == gateway:
                continue
            try:
                links.add_node_route(cidr, gateway)
            except OSError as error:
                refused[cidr] = gateway
                if self._refused.get(cidr) != gateway:
                    log.warning(
                        "Pods in %s are out of reach, no way by their node at %s: %s (nodes must share a network)",
                        cidr, gateway, error.strerror or error,
                    )  # fmt: skip
        self._refused = refused


def _facets(node: Object | None) -> tuple[str, list[str]]:
    return ("", []) if node is None else (internal_ip(node), [str(cidr) for cidr in _ranges(node)])


def remove_all() -> None:
    """Take every such route out. Blocks for microseconds. Raises OSError."""
    for cidr in links.node_routes():
        links.delete_node_route(cidr)
