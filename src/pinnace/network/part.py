"""The network of a real node, as a part: the host prepared, ways to the Pods of other nodes, Services proxied, cluster
DNS, the CNI configuration."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from pathlib import Path

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.core.backoff import Backoff
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.network import cni, links
from pinnace.network.announce import Announcer
from pinnace.network.dns import forward, service
from pinnace.network.dns.records import Zone
from pinnace.network.dns.server import DnsServer
from pinnace.network.dns.view import InformedView
from pinnace.network.host import Host
from pinnace.network.proxy.fronts import Place
from pinnace.network.proxy.proxy import Proxy
from pinnace.network.proxy.skeleton import Layout
from pinnace.network.routes import NodeRoutes

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
        node_address: str = "",
        cluster_cidr: str,
        cluster_dns: str,
        cluster_domain: str,
        cni_conf: Path,
        ipam_dir: Path,
        resolv_conf: Path = forward.RESOLV_CONF,
        publishes: bool = True,
    ) -> None:
        """``publishes``: the DNS Service is made to lead to the server here."""
        self._publishes = publishes
        self._host = host
        self._node_name = node_name
        self._node_address = node_address
        self._cni_conf = cni_conf
        self._ipam_dir = ipam_dir
        self._cluster_cidr = cluster_cidr
        self._zone = Zone(cluster_domain, cluster_dns)
        self._resolv_conf = resolv_conf
        self._client = client
        self._informers = Informers(client, clock)
        self._clock = clock
        self._tasks = Tasks("network", clock)
        self._proxy: Proxy | None = None
        self._dns: DnsServer | None = None
        self._routes: NodeRoutes | None = None
        self._announcer: Announcer | None = None

    async def start(self) -> None:
        """Return once Services are reachable and names are answered. Raises HostError, NftError, OSError (the DNS
        server cannot listen); nothing is left running then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self._host.prepare()
        layout = Layout(
            cluster_cidr=self._cluster_cidr,
            service_cidr=self._host.service_cidr,
            host_address=self._host.address,
            closed_interface=self._host.closed_interface,
            pool=self._host.pool,
        )
        place = Place(self._node_name, self._node_address, self._host.address)
        self._proxy = Proxy(self._informers, self._clock, layout, place)
        await self._start_dns()
        await self._proxy.start()
        nodes = self._informers.of(NODES)
        nodes.add_handler(self._node_changed)
        self._routes = NodeRoutes(nodes, self._clock, self._node_name, self._cluster_cidr)
        self._routes.start()
        if self._host.pool:
            services = self._informers.of(SERVICES)
            self._announcer = Announcer(services, nodes, self._clock, self._node_name, self._host.pool)
            self._announcer.start()

    async def _start_dns(self) -> None:
        view = InformedView(self._informers, self._clock)
        await view.wait_synced()
        upstreams = forward.Upstreams(self._resolv_conf, (self._host.address, self._zone.dns_address))
        self._dns = DnsServer(view, self._zone, forward.Forwarder(upstreams, self._clock), self._clock)
        await self._dns.start(self._host.address)
        if self._publishes:
            self._informers.of(SERVICES).add_handler(self._dns_gone)
            self._informers.of(ENDPOINT_SLICES).add_handler(self._dns_gone)
            self._tasks.spawn(self._publish_dns(), name="publish-dns")

    @property
    def dns_port(self) -> int:
        """Where names are answered, once it is started."""
        return self._dns.port if self._dns is not None else 0

    def _dns_gone(self, old: Object | None, new: Object | None) -> None:
        """Without its Service or slice no Pod finds the server: make them again."""
        if new is None and old is not None and meta.key(old) == f"{service.NAMESPACE}/{service.NAME}":
            self._tasks.spawn(self._publish_dns(), name="publish-dns")

    async def _publish_dns(self) -> None:
        assert self._dns is not None
        backoff = Backoff(base=0.1, cap=10.0)
        while True:
            try:
                await service.publish(
                    self._client,
                    cluster_ip=self._zone.dns_address,
                    address=self._host.address,
                    port=self._dns.port,
                )
            except (ApiError, OSError) as error:
                log.warning("cannot publish the Service %s/%s yet: %s", service.NAMESPACE, service.NAME, error)
                await self._clock.sleep(backoff.next(""))
            else:
                return

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or meta.name(new) != self._node_name:
            return
        cidr = (new.get("spec") or {}).get("podCIDR")
        if cidr:
            outside = links.default_link()
            mtu = outside.mtu if outside is not None else cni.DEFAULT_MTU
            if cni.write(self._cni_conf, pod_cidr=cidr, mtu=mtu, ipam_dir=self._ipam_dir):
                log.info("Pods of this node get addresses out of %s", cidr)

    async def stop(self) -> None:
        """Idempotent. The CNI configuration stays: containers may be running, and are removed with it."""
        await self._informers.stop()
        await self._tasks.stop()
        proxy, self._proxy = self._proxy, None
        parts = (self._dns, self._routes, self._announcer, proxy)
        self._dns = self._routes = self._announcer = None
        async with AsyncExitStack() as last:  # the host last, and all of them whatever happens to one

            async def restore() -> None:
                await self._host.restore(keep_forwarding=proxy is not None and proxy.others_forward)

            last.push_async_callback(restore)
            for part in reversed(parts):
                if part is not None:
                    last.push_async_callback(part.stop)
