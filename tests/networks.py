"""A node's network for tests: network namespaces for the node, its Pods and a neighbour, the real network part in it.

Sockets belong to the namespace they are made in, so everything runs in the test's own process: servers and clients of
any namespace are opened by going there for a moment. Nothing of it has a name on the machine, and it is gone with the
last file descriptor.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests import sysctls

from pinnace.api import builtin, meta
from pinnace.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from pinnace.api.types import GVR, Object
from pinnace.apiserver.server import LOOPBACK, ApiServer, stamp
from pinnace.client.client import Client
from pinnace.core.clock import RealClock
from pinnace.core.ipranges import IPRanges
from pinnace.network.host import Host
from pinnace.network.part import Network
from pinnace.store.open import open_store

HOST_ADDRESS, SERVICE_CIDR, CLUSTER_CIDR = "10.97.0.1", "10.96.0.0/16", "10.244.0.0/16"
CLUSTER_DNS = "10.96.0.10"
POOL = "10.98.0.0/24,192.0.2.100-192.0.2.110"
GATEWAY = "10.244.0.1"
NODE_IP, NEIGHBOUR_IP = "192.0.2.1", "192.0.2.9"
PATIENCE = 20.0
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _go(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def ip(commands: str) -> None:
    """Run ``ip``'s batch commands in the current namespace."""
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, capture_output=True)


class Space:
    """One network namespace."""

    def __init__(self) -> None:
        home = _here()
        try:
            if _libc.unshare(_CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot make a network namespace: these tests need root")
            self.descriptor = _here()
            ip("link set lo up")
            sysctls.reset()
        finally:
            _go(home)
            os.close(home)

    @contextmanager
    def inside(self) -> Iterator[None]:
        home = _here()
        try:
            _go(self.descriptor)
            yield
        finally:
            _go(home)
            os.close(home)

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def close(self) -> None:
        os.close(self.descriptor)

    async def ask(self, address: str, port: int, *, udp: bool = False, timeout: float = PATIENCE) -> tuple[str, str]:
        """Connect from here: the server's name and the address it saw. Raises OSError, TimeoutError."""
        with self.inside():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        return await ask_on(client, address, port, timeout=timeout)


async def ask_on(
    client: socket.socket, address: str, port: int, *, timeout: float = PATIENCE, keep: bool = False
) -> tuple[str, str]:
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(client, (address, port))
            await loop.sock_sendall(client, b"who?")
            name, _, seen = (await loop.sock_recv(client, 100)).decode().partition(" ")
            return name, seen
    finally:
        if not keep:
            client.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(f"{self._name} {addr[0]}".encode(), addr)


class Servers:
    """Servers that say their name and who they think is asking."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], None]] = []

    async def tcp(self, space: Space, address: str, port: int, name: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(4)
            writer.write(f"{name} {writer.get_extra_info('peername')[0]}".encode())
            writer.close()

        with space.inside():
            listener = socket.create_server((address, port))
        listener.setblocking(False)
        self._closers.append((await asyncio.start_server(serve, sock=listener)).close)

    async def udp(self, space: Space, address: str, port: int, name: str) -> None:
        await self.datagrams(space, address, port, lambda: _Udp(name))

    async def datagrams(
        self, space: Space, address: str, port: int, protocol: Callable[[], asyncio.DatagramProtocol]
    ) -> None:
        with space.inside():
            held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held.bind((address, port))
        held.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(protocol, sock=held)
        self._closers.append(transport.close)

    def close(self) -> None:
        for close in self._closers:
            close()


class Net:
    """A node with its network part (``network``), Pods (``pods[0]`` is 10.244.0.2, ...) and a neighbour on its LAN."""

    def __init__(self, client: Client, clock: RealClock, directory: Path) -> None:
        self.client = client
        self._clock = clock
        self._directory = directory
        self.node = Space()
        self.neighbour = Space()
        self.pods: list[Space] = []
        self.servers = Servers()
        self.network = self.make_network()

    def make_network(self) -> Network:
        return Network(
            self.client,
            self._clock,
            host=Host(address=HOST_ADDRESS, service_cidr=SERVICE_CIDR, pool=IPRanges(POOL).networks()),
            node_name="node",
            node_address=NODE_IP,
            cluster_cidr=CLUSTER_CIDR,
            cluster_dns=CLUSTER_DNS,
            cluster_domain="cluster.local",
            cni_conf=self._directory / "cni",
            ipam_dir=self._directory / "ipam",
            resolv_conf=self._directory / "resolv.conf",
        )

    def build(self, pods: int) -> None:
        ip(
            f"link add eth0 type veth peer name eth0 netns {self.neighbour.path}\n"
            f"addr add {NODE_IP}/24 dev eth0\nlink set eth0 up\n"
        )
        with self.neighbour.inside():
            ip(f"addr add {NEIGHBOUR_IP}/24 dev eth0\nlink set eth0 up\n")
        ip(f"route add default via {NEIGHBOUR_IP}\n")
        for number in range(pods):
            space = Space()
            self.pods.append(space)
            ip(
                f"link add veth{number} type veth peer name eth0 netns {space.path}\n"
                f"addr add {GATEWAY}/32 dev veth{number}\nlink set veth{number} up\n"
                f"route add {self.pod_ip(number)}/32 dev veth{number} scope host\n"
            )
            with space.inside():
                ip(
                    f"addr add {self.pod_ip(number)}/32 dev eth0\nlink set eth0 up\n"
                    f"route add {GATEWAY}/32 dev eth0\nroute add default via {GATEWAY}\n"
                )

    @staticmethod
    def pod_ip(number: int) -> str:
        return f"10.244.0.{number + 2}"

    def neighbour_or_node(self, node_port: int) -> Space:
        return self.neighbour if node_port else self.node

    async def service(self, name: str, cluster_ip: str, port: int, **more: Any) -> Object:
        """``more`` goes into the spec; ``node_port`` and ``protocol`` into its one port."""
        entry: Object = {"port": port, "protocol": more.pop("protocol", "TCP"), "targetPort": port}
        if node_port := more.pop("node_port", 0):
            entry["nodePort"] = node_port
            more["type"] = "NodePort"
        body: Object = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [entry], **more},
        }
        if cluster_ip:
            body["spec"] |= {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip]}
        return await self.client.create(SERVICES, body)

    async def endpoints(self, service: str, port: int, *addresses: str, protocol: str = "TCP", **more: Any) -> None:
        """The slice of a Service, made or replaced, and in the kernel."""
        written = await self.endpoints_unseen(service, port, *addresses, protocol=protocol, **more)
        await self.settled(ENDPOINT_SLICES, service, meta.resource_version(written))

    async def endpoints_unseen(
        self, service: str, port: int, *addresses: str, protocol: str = "TCP", **more: Any
    ) -> Object:
        """The same for a Service that has no rules. ``more`` goes into each endpoint."""
        body: Object = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": service,
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port, "protocol": protocol}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, **more} for address in addresses],
        }
        slices = (await self.client.list(ENDPOINT_SLICES, "default"))["items"]
        held = next((slice for slice in slices if meta.name(slice) == service), None)
        if held is None:
            return await self.client.create(ENDPOINT_SLICES, body)
        return await self.client.update(ENDPOINT_SLICES, {**held, "endpoints": body["endpoints"]})

    async def slice(self, service: str, name: str, ports: list[Object], *addresses: str) -> None:
        """One more slice of a Service, in the kernel."""
        body: Object = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [address]} for address in addresses],
        }
        written = await self.client.create(ENDPOINT_SLICES, body)
        await self.settled(ENDPOINT_SLICES, name, meta.resource_version(written))

    async def settled(self, gvr: GVR, name: str, version: str | None, namespace: str = "default") -> None:
        """Return once the kernel has that version of an object (None: knows that it is gone)."""
        informer = self.network._informers.of(gvr)

        def seen() -> bool:
            held = informer.get(name, namespace)
            return (meta.resource_version(held) if held is not None else None) == version

        await eventually(seen)
        proxy = self.network._proxy
        assert proxy is not None
        async with asyncio.timeout(PATIENCE):
            await proxy.current.wait()

    def close(self) -> None:
        self.servers.close()
        for space in (self.node, self.neighbour, *self.pods):
            space.close()


async def eventually(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def node_network(directory: Path, *, pods: int = 2) -> AsyncIterator[Net]:
    """A running network part; this thread is in the node's namespace meanwhile."""
    clock = RealClock()
    store = await open_store("memory://", stamp=stamp, clock=clock)
    server = ApiServer(store, builtin.registry(), clock, tls=None, listen=())
    client = Client(server.transport(LOOPBACK))
    for name in ("default", "kube-system"):
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    (directory / "resolv.conf").write_text(f"nameserver {NEIGHBOUR_IP}\n")
    net = Net(client, clock, directory)
    try:
        with net.node.inside():
            net.build(pods)
            try:
                await net.network.start()
                yield net
            finally:
                await net.network.stop()
    finally:
        net.close()
        await server.stop()
        await store.close()
