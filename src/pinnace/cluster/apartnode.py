"""A node as a process of its own, as kubelets are: the kubelet, and with real containers its proxy and DNS server.

It joins with a bootstrap token (``--bootstrap-kubeconfig``): asks for a client certificate, keeps it under its data
directory and acts as ``system:node:NAME`` from then on. Ended by a signal or a kill, it leaves its Pods running, and
the next start carries on with them; ``pinnace down`` ends them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pinnace
from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import NODES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.https import Credentials
from pinnace.client.informer import Informers
from pinnace.cluster import identities, kubeconfig, machine, remote
from pinnace.cluster.clusterdns import ANNOTATION
from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.cluster.health import self_signed
from pinnace.cluster.nodecertificate import NodeCertificate
from pinnace.cluster.realnetwork import Addresses, RealNetwork
from pinnace.cluster.remote import Remote
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Part, Tasks

log = logging.getLogger(__name__)

USER_PREFIX = "system:node:"


class NodeOptions(NamedTuple):
    """``kubeconfig`` None: ``kubelet.conf`` in the data directory. ``node_name`` and ``node_ip`` "": found out.
    ``simulated_nodes`` None: one node, real or not as ``runtime`` says."""

    data_dir: Path
    kubeconfig: Path | None
    bootstrap_kubeconfig: Path | None
    node_name: str
    node_ip: str
    runtime: str
    simulated_nodes: int | None
    addresses: Addresses


class NodeProcess:
    """``pinnace node`` on a data directory that the caller holds. ``run`` until it is cancelled, then ``stop``."""

    def __init__(self, options: NodeOptions, directory: DataDir, clock: Clock, report: Callable[[str], None]) -> None:
        self._options = options
        self._directory = directory
        self._clock = clock
        self._report = report
        self._kubeconfig = options.kubeconfig or options.data_dir / "kubelet.conf"
        self._tasks = Tasks("node", clock)
        self._parts: list[Part] = []
        self._informers: list[Informers] = []
        self._remote: Remote | None = None

    # -- start

    async def run(self) -> None:
        """Raises ClusterError."""
        real = self._is_real()
        if not self._kubeconfig.exists() or not self._client_certificate_is_good():
            await self._join()
        found = await remote.reach(self._kubeconfig, self._clock, self._report, user_agent="kubelet")
        self._remote = found
        name = self._name_for(found)
        address = self._options.node_ip or own_address(found.credentials.server)
        self._report(f"  {found.user} at {found.credentials.server}; this node is {name} at {address}")
        self._announce(found, name, real=real)
        if found.credentials.certificate == self._client_file:
            own = NodeCertificate(self._client_file, self._clock, name)
            self._tasks.forever(lambda: own.keep(found.client, found.https.use_new_files), name="client certificate")
        if self._options.simulated_nodes is not None:
            names = [f"{name}-{number}" for number in range(self._options.simulated_nodes)]
            await self._start_simulated(
                found, names, address, self._serving(found, names[0], address) if names else None
            )
        elif real:
            await self._start_real(found, name, address)
        else:
            await self._start_simulated(found, [name], address, self._serving(found, name, address))
        self._report(f"node {name} works (process {os.getpid()})")
        await asyncio.Event().wait()  # until it is cancelled

    @property
    def _client_file(self) -> Path:
        return self._options.data_dir / "pki" / "kubelet-client-current.pem"

    def _is_real(self) -> bool:
        if self._options.runtime == "simulated" or self._options.simulated_nodes is not None:
            return False
        missing = machine.inspect().missing
        if missing and self._options.runtime == "containerd":
            exit = Exit.NOT_PERMITTED if "root" in missing else Exit.COMPONENT_MISSING
            raise ClusterError(exit, f"--runtime containerd: this machine cannot yet: {machine.what_to_do(missing)}")
        if missing:
            todo = machine.what_to_do(missing)
            self._report(f"  the node is simulated: its Pods run no processes; for a real node: {todo}")
        return not missing

    def _client_certificate_is_good(self) -> bool:
        """Whether what the kubeconfig names can still be used, as far as it is for us to make it anew."""
        held = remote.load(self._kubeconfig)
        if held.certificate != self._client_file or self._options.bootstrap_kubeconfig is None:
            return True
        name = self._options.node_name or machine.node_name()
        return NodeCertificate(self._client_file, self._clock, name).is_good()

    async def _join(self) -> None:
        """Become a node, with the bootstrap kubeconfig; leaves a kubeconfig of our own."""
        if self._options.bootstrap_kubeconfig is None:
            raise ClusterError(
                Exit.USAGE,
                f"there is no kubeconfig {self._kubeconfig}; to join a cluster, have one made where it runs "
                "(pinnace token create > bootstrap-kubelet.conf) and give it as --bootstrap-kubeconfig",
            )
        guest = await remote.reach(self._options.bootstrap_kubeconfig, self._clock, self._report, user_agent="kubelet")
        try:
            name = self._options.node_name or machine.node_name()
            self._report(f"  {guest.user} at {guest.credentials.server}: joining as node {name}")
            await NodeCertificate(self._client_file, self._clock, name).obtain(guest.client, self._report)
        finally:
            await guest.client.close()
        pem = str(self._client_file)
        text = kubeconfig.part_kubeconfig(
            USER_PREFIX + name,
            server=guest.credentials.server,
            ca=authority(guest.credentials),
            user={"client-certificate": pem, "client-key": pem},
        )
        kubeconfig.save(self._kubeconfig, text)

    def _name_for(self, found: Remote) -> str:
        asked = self._options.node_name
        if not found.user.startswith(USER_PREFIX):
            if self._options.simulated_nodes is None:
                self._report(f"  {found.user} is no node's identity: this node has all rights of it, and logs and exec "
                             "work only with API servers that do not verify kubelets")  # fmt: skip
            return asked or ("simulated" if self._options.simulated_nodes is not None else machine.node_name())
        name = found.user.removeprefix(USER_PREFIX)
        if self._options.simulated_nodes is not None:
            why = f"{self._kubeconfig} is for the one node {name}; many need simulated-nodes.conf of the API server's"
            raise ClusterError(Exit.USAGE, f"--simulated-nodes: {why} data directory, or an administrator's")
        if asked and asked != name:
            why = f"{self._kubeconfig} is for the node {name}; remove it to join under another name"
            raise ClusterError(Exit.USAGE, f"--node-name {asked}: {why}")
        return name

    def _announce(self, found: Remote, name: str, *, real: bool) -> None:
        self._directory.announce(
            {
                "pid": os.getpid(),
                "server": found.credentials.server,
                "startedAt": self._clock.now(),
                "version": pinnace.__version__,
                "kubernetesVersion": pinnace.KUBERNETES_VERSION,
                "parts": ["node", "network"] if real else ["node"],
                "runtime": "containerd" if real else "simulated",
                "node": "" if self._options.simulated_nodes is not None else name,
                "kubeconfig": str(self._kubeconfig),
                "context": "",
            }
        )

    # -- parts

    async def _start_real(self, found: Remote, name: str, address: str) -> None:
        from pinnace.cluster.realnode import RealNode

        network = RealNetwork(
            found.client,
            self._clock,
            self._options.data_dir,
            self._options.addresses,
            node_name=name,
            node_ip=address,
            publishes=False,
        )
        await self._start_part(network)
        node = RealNode(
            found.client,
            self._clock,
            self._options.data_dir,
            machine.inspect(),
            tls=self._serving(found, name, address),
            node_name=name,
            node_ip=address,
            server_host=address,
            cluster_dns=self._options.addresses.dns,
            ends_pods=False,
        )
        await self._start_part(node)
        self._tell_dns(found.client, name, "{}:{}".format(*network.dns))

    async def _start_simulated(self, found: Remote, names: list[str], address: str, tls: ssl.SSLContext | None) -> None:
        from pinnace.kubelet import machine as hardware
        from pinnace.kubelet.simulated_nodes import SimulatedNodes

        informers = Informers(found.client, self._clock)
        self._informers.append(informers)
        nodes = SimulatedNodes(
            found.client,
            self._clock,
            informers,
            names=names,
            machine=hardware.inspect(self._options.data_dir),
            address=address,
            tls=tls,
        )
        await self._start_part(nodes)

    async def _start_part(self, part: Part) -> None:
        self._parts.append(part)
        await part.start()

    def _serving(self, found: Remote, name: str, address: str) -> ssl.SSLContext:
        """For the kubelet's server: with a certificate of the cluster's authority as soon as there is one, until then,
        and where nobody gives us one, with one of our own, as upstream's kubelets."""
        context = self_signed(self._clock, name, address)
        context.load_verify_locations(cadata=authority(found.credentials).decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        if found.user in (USER_PREFIX + name, identities.SIMULATED_NODE_HOST.name):
            path = self._options.data_dir / "pki" / "kubelet-server-current.pem"
            certificate = NodeCertificate(path, self._clock, name, frozenset((name, address)))
            if certificate.is_good():
                context.load_cert_chain(path)
            keep = lambda: certificate.keep(found.client, lambda: context.load_cert_chain(path))  # noqa: E731
            self._tasks.forever(keep, name="serving certificate")
        return context

    def _tell_dns(self, client: Client, name: str, where: str) -> None:
        """Keep on our Node where its Pods find names."""
        informers = Informers(client, self._clock)
        self._informers.append(informers)
        change: Object = {"metadata": {"annotations": {ANNOTATION: where}}}

        async def tell() -> None:
            try:
                await client.patch(NODES, name, change)
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("cannot tell where the Pods of this node find names: %s", error)

        def look(_: Object | None, node: Object | None) -> None:
            if node is not None and meta.annotations(node).get(ANNOTATION) != where:
                self._tasks.spawn(tell(), name="tell dns")

        informers.of(NODES, field_selector=f"metadata.name={name}").add_handler(look)

    async def stop(self) -> None:
        """End what was started but neither Pods nor what they need of the network: that stays until the process is
        gone, and the next start takes it over. Idempotent."""
        await self._tasks.stop()
        while self._parts:
            part = self._parts.pop()
            if not isinstance(part, RealNetwork):
                await part.stop()
        while self._informers:
            await self._informers.pop().stop()
        if self._remote is not None:
            await self._remote.client.close()
            self._remote = None


def authority(credentials: Credentials) -> bytes:
    """The PEM that the API server is verified with. Raises ClusterError."""
    held = credentials.authority
    if held is None:
        raise ClusterError(Exit.USAGE, f"the kubeconfig for {credentials.server} names no certificate authority")
    try:
        return held.encode() if isinstance(held, str) else held.read_bytes()
    except OSError as error:
        raise ClusterError(Exit.USAGE, f"cannot read {held}: {error.strerror}") from error


def own_address(server: str) -> str:
    """The address that this machine has towards an API server; if that is on this machine, towards others."""
    url = urlsplit(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((url.hostname or "", url.port or 443))  # sends nothing
            found = str(probe.getsockname()[0])
        except OSError:
            return machine.primary_address()
    return machine.primary_address() if found.startswith("127.") else found
