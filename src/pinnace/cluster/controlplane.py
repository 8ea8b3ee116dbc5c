"""The control plane's API server, wired: certificates, store, authentication, admission, bootstrap objects."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable

from pinnace.api import builtin
from pinnace.apiserver.admission.chain import default_admission
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.auth import stack
from pinnace.apiserver.bootstrap import objects, reconcile
from pinnace.apiserver.peers import Peers
from pinnace.apiserver.pipeline import Interceptor
from pinnace.apiserver.resources import codec
from pinnace.apiserver.server import ApiServer, stamp
from pinnace.cluster import config, machine
from pinnace.cluster.certificates import Certificates
from pinnace.cluster.config import ClusterConfig
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.store.open import open_store
from pinnace.store.protocol import Store, StoreError

_ANY = frozenset(("0.0.0.0", "::"))
_LOOPBACK = frozenset(("127.0.0.1", "::1"))


class ControlPlane:
    """The API server and what it stands on (a ``core.supervisor.Part``)."""

    name = "apiserver"

    def __init__(
        self, chosen: ClusterConfig, clock: Clock, certificates: Certificates, *, pods_are_real: Callable[[], bool]
    ) -> None:
        """``pods_are_real()``: whether there will be ``config.HOST_ADDRESS`` on this machine, for its Pods."""
        self._pods_are_real = pods_are_real
        self._config = chosen
        self._clock = clock
        self._certificates = certificates
        self._store: Store | None = None
        self._auth: stack.Auth | None = None
        self._allocator: ServiceAllocator | None = None
        self._peers: Peers | None = None
        self._tasks = Tasks("apiserver", clock)
        self.pki = certificates.pki
        self.server: ApiServer | None = None
        #: Where the kubelets of this process listen, by node.
        self.near_kubelets: dict[str, tuple[str, int]] = {}
        #: For tests of clients: what stands in the way of every request.
        self.interceptor: Interceptor | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the API server listens, once it is started."""
        assert self.server is not None
        return self.server.addresses[0]

    @property
    def url(self) -> str:
        """For clients on this machine."""
        host, port = self.address
        return _url("127.0.0.1" if host in _ANY else host, port)

    @property
    def advertised(self) -> tuple[str, int]:
        """Where other machines and Pods reach it: where it listens or, listening everywhere, where this machine is."""
        host, port = self.address
        return machine.primary_address() if host in _ANY else host, port

    @property
    def advertised_url(self) -> str:
        return _url(*self.advertised)

    async def listen_for_pods(self) -> None:
        """Serve where ``default/kubernetes`` leads, once the host has that address. Raises ClusterError."""
        assert self.server is not None
        host, port = self.advertised
        if host not in _LOOPBACK:
            return
        try:
            await self.server.listen_also(config.HOST_ADDRESS, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ClusterError(
                Exit.PORT_TAKEN,
                f"cannot listen on {config.HOST_ADDRESS}:{port} for Pods: {reason}; try another --listen",
            ) from error

    async def start(self) -> None:
        """Raises ClusterError."""
        self._certificates.finish()
        await self._open_store()
        assert self._store is not None
        self._auth = stack.open_auth(self._store, self._clock, self.pki.key("sa"))
        self._allocator = ServiceAllocator(cidr=config.SERVICE_CIDR)
        registry = builtin.registry()
        self.server = ApiServer(
            self._store,
            registry,
            self._clock,
            tls=self._tls(),
            listen=[(self._config.host, self._config.port)],
            auth=self._auth,
            kubelet_tls=self._kubelet_tls,
            near_kubelets=self.near_kubelets,
            admission=default_admission(
                self._store,
                self._clock,
                registry,
                authorizer=self._auth.authorizer,
                rbac=self._auth.rbac,
                allocator=self._allocator,
                service_accounts="controllers" in self._config.parts,
            ),
        )
        self.server.pipeline.interceptor = self.interceptor
        self.server.post_start.append(("bootstrap", self._bootstrap))
        try:
            await self.server.start()
        except PermissionError as error:
            raise ClusterError(
                Exit.NOT_PERMITTED, f"not permitted to listen on {self._listen}; ports below 1024 need root"
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                taken = f"{self._listen} is taken by another process; choose another with --listen (port 0: any free)"
                raise ClusterError(Exit.PORT_TAKEN, taken) from error
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            raise ClusterError(
                Exit.USAGE, f"cannot listen on {self._listen}: {why}; choose an address of this machine with --listen"
            ) from error

    @property
    def _listen(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    async def _open_store(self) -> None:
        if not self._config.store:
            (self._config.data_dir / "store").mkdir(mode=0o700, exist_ok=True)
        options = self._config.etcd
        try:
            self._store = await open_store(self._config.store_url, stamp=stamp, clock=self._clock, etcd=options)
        except StoreError as error:
            raise ClusterError(Exit.STORE_FAILED if self._shared else Exit.DATA_DAMAGED, str(error)) from error
        if self._shared:
            self._check_authority(self._store)

    @property
    def _shared(self) -> bool:
        """Whether other API servers may use the store."""
        return self._config.store.startswith("etcd://")

    def _check_authority(self, store: Store) -> None:
        """API servers of one cluster have one authority and one key for tokens. Raises ClusterError."""
        key = reconcile.key_of(objects.client_authority("", ""))
        held = store.get(key)
        if held is None:
            return
        authority = (codec.decoded(held).get("data") or {}).get("client-ca-file")
        if authority != self.pki.certificate("ca").read_text():
            raise ClusterError(
                Exit.STORE_FAILED,
                f"{self._config.store} holds a cluster with another certificate authority: copy pki/ from the data "
                f"directory of its first API server to {self.pki.certificate('ca').parent}, or choose another "
                "--etcd-prefix",
            )

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.pki.certificate("apiserver"), self.pki.key("apiserver"))
        context.load_verify_locations(self.pki.certificate("ca"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # Go's clients prefer AES-128, as kube-apiserver does
        return context

    def _kubelet_tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.certificate("ca")))
        name = "apiserver-kubelet-client"
        context.load_cert_chain(self.pki.certificate(name), self.pki.key(name))
        return context

    async def _bootstrap(self) -> None:
        assert self._store is not None
        host, port = self.advertised
        reached = config.HOST_ADDRESS if host in _LOOPBACK and self._pods_are_real() else host
        authority = self.pki.certificate("ca").read_text()
        front_proxy = self.pki.certificate("front-proxy-ca").read_text()
        endpoint = objects.Endpoint(config.KUBERNETES_SERVICE_IP, reached, port)
        await reconcile.bootstrap(
            self._store,
            self._clock,
            endpoint=endpoint,
            client_authority=objects.client_authority(authority, front_proxy),
            alone=not self._shared,
        )
        service = objects.kubernetes_service(endpoint)
        if self._shared:
            del service[1:]
            self._peers = Peers(self._store, self._clock, endpoint, machine.node_name())
            await self._peers.start()
        store, wanted = self._store, [*objects.namespaces(), *service]
        self._tasks.forever(lambda: reconcile.keep(store, self._clock, wanted), name="bootstrap objects")

    async def stop(self) -> None:
        await self._tasks.stop()
        if self._peers is not None:
            await self._peers.stop()
            self._peers = None
        if self.server is not None:
            await self.server.stop()
            self.server = None
        if self._allocator is not None:
            self._allocator.close()
            self._allocator = None
        if self._auth is not None:
            self._auth.close()
            self._auth = None
        if self._store is not None:
            await self._store.close()
            self._store = None


def _url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
