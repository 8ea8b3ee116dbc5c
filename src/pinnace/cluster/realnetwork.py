"""The network of a real node, and the API server's listener inside it."""

from __future__ import annotations

from pinnace.client.client import Client
from pinnace.cluster import config, machine, realnode
from pinnace.cluster.controlplane import ControlPlane
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


class RealNetwork:
    """Part: the host prepared, the API server reachable from Pods, then Services and cluster DNS."""

    name = "network"

    def __init__(self, client: Client, clock: Clock, chosen: config.ClusterConfig, plane: ControlPlane) -> None:
        self._plane = plane
        pool = IPRanges(chosen.load_balancer_pool).networks() if chosen.load_balancer_pool else ()
        self._host = Host(address=config.HOST_ADDRESS, service_cidr=config.SERVICE_CIDR, pool=pool)
        self._network = Network(
            client,
            clock,
            host=self._host,
            node_name=machine.node_name(),
            node_address=machine.primary_address(),
            cluster_cidr=chosen.pod_cidr,
            cluster_dns=config.CLUSTER_DNS,
            cluster_domain=config.CLUSTER_DOMAIN,
            cni_conf=realnode.cni_directory(chosen.data_dir),
            ipam_dir=chosen.data_dir / "node" / "ipam",
        )

    async def start(self) -> None:
        """Raises ClusterError."""
        try:
            await self._host.prepare()
            await self._plane.listen_for_pods()
            await self._network.start()
        except (HostError, NftError, OSError) as error:
            raise refusal(error) from error

    async def stop(self) -> None:
        await self._network.stop()
