"""The network of a real node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from pinnace.client.client import Client
from pinnace.cluster import config, realnode
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import Clock
from pinnace.core.ipranges import IPRanges
from pinnace.network.host import Host, HostError
from pinnace.network.part import Network
from pinnace.network.proxy.nft import NftError


def refusal(error: Exception) -> ClusterError:
    """What a start says that ``error`` of a network part ended."""
    if isinstance(error.__cause__, PermissionError):
        return ClusterError(Exit.NOT_PERMITTED, str(error))
    if isinstance(error, OSError):
        return ClusterError(Exit.NETWORK_FAILED, f"cluster DNS cannot listen on {config.HOST_ADDRESS}: {error}")
    return ClusterError(Exit.NETWORK_FAILED, str(error))


class Addresses(NamedTuple):
    """What a node's network has to know of its cluster's."""

    pods: str
    load_balancers: str
    dns: str = config.CLUSTER_DNS
    services: str = config.SERVICE_CIDR


class RealNetwork:
    """Part: the host prepared, then Services and cluster DNS. In between ``prepared`` is awaited, which may serve at
    ``config.HOST_ADDRESS``. With ``publishes`` the cluster's DNS Service is made to lead to the server here."""

    name = "network"

    def __init__(
        self,
        client: Client,
        clock: Clock,
        data_dir: Path,
        addresses: Addresses,
        *,
        node_name: str,
        node_ip: str,
        prepared: Callable[[], Awaitable[None]] | None = None,
        publishes: bool = True,
    ) -> None:
        self._prepared = prepared
        pool = IPRanges(addresses.load_balancers).networks() if addresses.load_balancers else ()
        self._host = Host(address=config.HOST_ADDRESS, service_cidr=addresses.services, pool=pool)
        self._network = Network(
            client,
            clock,
            host=self._host,
            node_name=node_name,
            node_address=node_ip,
            cluster_cidr=addresses.pods,
            cluster_dns=addresses.dns,
            cluster_domain=config.CLUSTER_DOMAIN,
            cni_conf=realnode.cni_directory(data_dir),
            ipam_dir=data_dir / "node" / "ipam",
            publishes=publishes,
        )

    @property
    def dns(self) -> tuple[str, int]:
        """Where this node's Pods find names, once it is started."""
        return config.HOST_ADDRESS, self._network.dns_port

    async def start(self) -> None:
        """Raises ClusterError."""
        try:
            await self._host.prepare()
            if self._prepared is not None:
                await self._prepared()
            await self._network.start()
        except (HostError, NftError, OSError) as error:
            raise refusal(error) from error

    async def stop(self) -> None:
        await self._network.stop()
