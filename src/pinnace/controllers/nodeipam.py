"""Gives every node its own range of Pod addresses (``spec.podCIDR``) out of the cluster's."""

from __future__ import annotations

import ipaddress

from pinnace.api import meta
from pinnace.api.resources import NODES
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH
from pinnace.client.recorder import NORMAL
from pinnace.controllers import kit


class Ranges:
    """Equal parts of one network, handed out lowest first after the last one given. Pure."""

    def __init__(self, network: str, prefix: int) -> None:
        self._network = ipaddress.ip_network(network)
        if prefix < self._network.prefixlen:
            raise ValueError(f"a node's range /{prefix} does not fit into the cluster's {network}")
        self._prefix = prefix
        self._count: int = 1 << (prefix - self._network.prefixlen)
        self._size: int = 1 << (self._network.max_prefixlen - prefix)
        self._used: dict[int, str] = {}  # index -> owner
        self._next = 0

    def _index(self, cidr: str) -> int | None:
        try:
            address = ipaddress.ip_network(cidr, strict=False).network_address
        except ValueError:  # updates of a node may set anything
            return None
        if address.version != self._network.version or address not in self._network:
            return None
        return (int(address) - int(self._network.network_address)) // self._size

    def occupy(self, cidr: str, owner: str) -> None:
        """Note a range that is in use; one outside the network is not ours to note."""
        if (index := self._index(cidr)) is not None:
            self._used[index] = owner

    def take(self, owner: str) -> str | None:
        """A free range for ``owner``; None if there is none left."""
        for step in range(self._count):
            index = (self._next + step) % self._count
            if index not in self._used:
                self._used[index] = owner
                self._next = (index + 1) % self._count
                start = self._network.network_address + index * self._size
                return f"{start}/{self._prefix}"
        return None

    def release(self, cidr: str, owner: str) -> None:
        index = self._index(cidr)
        if index is not None and self._used.get(index) == owner:
            del self._used[index]


class NodeIpamController(kit.Controller):
    """Allocates from ``cluster_cidr`` in ranges of ``node_prefix`` bits."""

    name = "node-ipam-controller"
    account = "node-controller"

    def __init__(self, tools: kit.Kit, *, cluster_cidr: str, node_prefix: int) -> None:
        super().__init__(tools)
        self._events = self.recorder("cidrAllocator")
        self._ranges = Ranges(cluster_cidr, node_prefix)
        self._nodes = tools.informer(NODES)
        self._nodes.add_handler(self._node_changed)
        self._taken: dict[str, str] = {}  # node -> range taken, its write maybe still to come

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._free(meta.name(old), str(old["spec"].get("podCIDR") or ""))
            return
        if cidr := new["spec"].get("podCIDR"):
            self._ranges.occupy(cidr, meta.name(new))
        elif old is None or old["spec"].get("podCIDR"):
            self.enqueue(new)

    def _free(self, name: str, cidr: str) -> None:
        for held in {cidr, self._taken.pop(name, "")} - {""}:
            self._ranges.release(held, name)
        for node in self._nodes:  # someone may be waiting for a range
            if not node["spec"].get("podCIDR"):
                self.enqueue(node)

    async def sync(self, key: str) -> None:
        node = self._nodes.by_key(key)
        if node is None or node["spec"].get("podCIDR"):
            return
        cidr = self._taken.get(key) or self._ranges.take(key)
        if cidr is None:
            self._events.event(node, NORMAL, "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            return
        self._taken[key] = cidr
        change: Object = {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
        await self.client.patch(NODES, key, change, content_type=STRATEGIC_MERGE_PATCH)
