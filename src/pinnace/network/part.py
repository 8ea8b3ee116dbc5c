"""The network of a real node, as a part: the host prepared, Services proxied, cluster DNS, the CNI configuration."""

from __future__ import annotations

import logging
from pathlib import Path

from pinnace.api import meta
from pinnace.api.resources import NODES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.core.clock import Clock
from pinnace.network import cni, links
from pinnace.network.host import Host
from pinnace.network.proxy.proxy import Proxy
from pinnace.network.proxy.skeleton import Layout

log = logging.getLogger(__name__)


class Network:
    """A ``core.supervisor.Part``. ``client`` may read Services, EndpointSlices, Namespaces and Nodes, and write the DNS
    Service in kube-system. The CNI configuration is written to ``cni_conf`` as soon as the node has a Pod range."""

    name = "network"

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        host: Host,
        node_name: str,
        cluster_cidr: str,
        cni_conf: Path,
        ipam_dir: Path,
    ) -> None:
        self._host = host
        self._node_name = node_name
        self._cni_conf = cni_conf
        self._ipam_dir = ipam_dir
        self._cluster_cidr = cluster_cidr
        self._informers = Informers(client, clock)
        self._clock = clock
        self._proxy: Proxy | None = None

    async def start(self) -> None:
        """Return once Services are reachable. Raises HostError, NftError."""
        await self._host.prepare()
        layout = Layout(
            cluster_cidr=self._cluster_cidr,
            service_cidr=self._host.service_cidr,
            host_address=self._host.address,
            forward_others=self._host.forwarded_before,
        )
        self._proxy = Proxy(self._informers, self._clock, layout)
        await self._proxy.start()
        nodes = self._informers.of(NODES, field_selector=f"metadata.name={self._node_name}")
        nodes.add_handler(self._node_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or meta.name(new) != self._node_name:
            return
        cidr = (new.get("spec") or {}).get("podCIDR")
        if cidr and (old is None or (old.get("spec") or {}).get("podCIDR") != cidr):
            mtu = links.default_mtu() or cni.DEFAULT_MTU
            cni.write(self._cni_conf, pod_cidr=cidr, mtu=mtu, ipam_dir=self._ipam_dir)
            log.info("Pods of this node get addresses out of %s", cidr)

    async def stop(self) -> None:
        """Idempotent. The CNI configuration stays: containers may be running, and are removed with it."""
        await self._informers.stop()
        if self._proxy is not None:
            await self._proxy.stop()
            self._proxy = None
        await self._host.restore()
