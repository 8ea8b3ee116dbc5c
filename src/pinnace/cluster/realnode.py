"""The node that runs real containers: containerd, the kubelet on it, and what both need of this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

from pinnace.client.client import Client
from pinnace.cluster import config, machine
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import Clock
from pinnace.kubelet.configuration import Configuration, ConfigurationError, load, of_a_shared_machine
from pinnace.kubelet.containerd import Containerd, ContainerdFailed
from pinnace.kubelet.part import Kubelet
from pinnace.kubelet.runtime.base import RuntimeFailure
from pinnace.kubelet.runtime.cri.runtime import CriRuntime
from pinnace.network.plugin.server import Plugins

#: The kubelet's server is for the API server of the same process: nothing outside the machine reaches it.
SERVER_HOST = "127.0.0.1"


def containerd_directory(data_dir: Path) -> Path:
    return data_dir / "node" / "containerd"


def cni_directory(data_dir: Path) -> Path:
    """Where the network part puts the CNI configuration and containerd looks for it."""
    return data_dir / "node" / "cni"


def kubelet_directory(data_dir: Path) -> Path:
    return data_dir / "node" / "kubelet"


def private_containerd(
    data_dir: Path, clock: Clock, found: machine.Machine, plugins: Plugins | None = None
) -> Containerd:
    """The node's own containerd, not started. ``plugins`` attach its Pods, by default the machine's own."""
    return Containerd(
        containerd_directory(data_dir),
        clock,
        cni_bin=plugins.bin_dir if plugins else _cni_bin(found),
        cni_conf=cni_directory(data_dir),
        binary=found.containerd,
    )


def _cni_bin(found: machine.Machine) -> Path:
    return found.cni_bin or machine.CNI_DIRECTORIES[0]


def manifest_directory(data_dir: Path) -> Path:
    """Where the node looks for static Pods, if its configuration says nothing else."""
    return data_dir / "node" / "manifests"


def configuration(data_dir: Path) -> Configuration:
    """The node's KubeletConfiguration, from ``node/kubelet.yaml`` if that is there. Raises ClusterError."""
    try:
        return load(data_dir / "node" / "kubelet.yaml", of_a_shared_machine(str(manifest_directory(data_dir))))
    except ConfigurationError as error:
        raise ClusterError(Exit.USAGE, str(error)) from error


class RealNode:
    """Part: the kubelet with its containerd. Stopping it ends its containers, if it ``ends_pods``; else, and by a kill,
    they go on, and so does the next start with them. ``server_host`` is where its server listens."""

    name = "node"

    def __init__(
        self,
        client: Client,
        clock: Clock,
        data_dir: Path,
        found: machine.Machine,
        *,
        tls: ssl.SSLContext,
        node_name: str,
        node_ip: str,
        server_host: str = SERVER_HOST,
        cluster_dns: str = config.CLUSTER_DNS,
        ends_pods: bool = True,
    ) -> None:
        self._plugins = Plugins(data_dir / "node" / "plugins", _cni_bin(found))
        containerd = private_containerd(data_dir, clock, found, self._plugins)
        self._server_host = server_host
        self._ends_pods = ends_pods
        self._kubelet = Kubelet(
            client,
            clock,
            node_name=node_name,
            runtime=CriRuntime(str(containerd.socket), clock),
            root_dir=kubelet_directory(data_dir),
            node_ip=node_ip,
            cluster_dns=(cluster_dns,),
            cluster_domain=config.CLUSTER_DOMAIN,
            configuration=configuration(data_dir),
            containerd=containerd,
            tls=tls,
            server_host=server_host,
            image_dir=containerd_directory(data_dir),
        )
        self._running = False

    @property
    def server(self) -> tuple[str, int]:
        """Where the kubelet's own server listens, once it is started."""
        return self._server_host, self._kubelet.server_port

    async def start(self) -> None:
        """Raises ClusterError."""
        try:
            await self._plugins.start()
        except (OSError, ValueError) as error:
            why = f"the node's network plugins cannot be prepared: {error}"
            raise ClusterError(Exit.CONTAINERD_FAILED, why) from error
        try:
            await self._kubelet.start()
        except (ContainerdFailed, RuntimeFailure) as error:
            first, *lines = str(error).splitlines()
            raise ClusterError(Exit.CONTAINERD_FAILED, first, lines=tuple(lines)) from error
        self._running = True

    async def stop(self) -> None:
        try:
            if self._running and self._ends_pods:
                self._running = False
                await self._kubelet.end_pods()
        finally:
            await self._kubelet.stop()
            await self._plugins.stop()
