"""Makes Pods find the DNS servers of nodes that run as processes of their own.

Such a node answers its Pods' questions itself, at an address that every one of them has for itself, and says so in an
annotation. The Service of cluster DNS leads there; nodes may not write it.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.resources import NODES, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import kit
from pinnace.network.dns import service

#: On Nodes: ``ADDRESS:PORT`` of the DNS server for the Pods on it.
ANNOTATION = "pinnace.dev/cluster-dns"


class ClusterDns(kit.Controller):
    """Publishes ``cluster_ip`` as soon as a node says that it answers."""

    name = account = "cluster-dns"

    def __init__(self, tools: kit.Kit, cluster_ip: str) -> None:
        super().__init__(tools)
        self._cluster_ip = cluster_ip
        self._nodes = tools.informer(NODES)
        self._nodes.add_handler(self._node_changed)
        tools.informer(SERVICES).add_handler(self._service_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and ANNOTATION in meta.annotations(new):
            if old is None or meta.annotations(old).get(ANNOTATION) != meta.annotations(new)[ANNOTATION]:
                self.queue.add(service.NAME)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        """Without it no Pod finds a server: make it again."""
        if new is None and old is not None and meta.key(old) == f"{service.NAMESPACE}/{service.NAME}":
            self.queue.add(service.NAME)

    async def sync(self, key: str) -> None:
        said = {meta.name(node): meta.annotations(node).get(ANNOTATION, "") for node in self._nodes}
        for name in sorted(said):
            address, _, port = said[name].rpartition(":")
            if address and port.isdecimal():
                await service.publish(self.client, cluster_ip=self._cluster_ip, address=address, port=int(port))
                return
