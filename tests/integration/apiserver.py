"""An API server with all its real parts, in the test's own process: memory store, TLS, RBAC, admission."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnace.api import builtin
from pinnace.api.resources import SERVICE_ACCOUNTS
from pinnace.apiserver.admission.chain import default_admission
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.auth import stack
from pinnace.apiserver.bootstrap import reconcile
from pinnace.apiserver.request import User
from pinnace.apiserver.server import ApiServer, stamp
from pinnace.client.client import Client
from pinnace.client.https import Credentials, Https
from pinnace.cluster import pki
from pinnace.core.clock import RealClock
from pinnace.core.http1 import HttpAnswer, HttpConnection
from pinnace.store.open import open_store
from pinnace.store.protocol import Store

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Api:
    """``client`` speaks in-process as an administrator; ``https`` over TLS with ``certificate`` and ``key``."""

    server: ApiServer
    store: Store
    client: Client
    https: Client
    url: str
    host: str
    port: int
    authority: Path
    certificate: Path
    key: Path
    kubeconfig: Path

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.certificate, self.key)
        return context

    async def connect(self) -> HttpConnection:
        return await HttpConnection.connect(self.host, self.port, self.tls())

    async def call(
        self, method: str, path: str, body: bytes | Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over a TLS connection of its own; ``body`` is sent as it is if it is bytes, else as JSON."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Host": "api", **({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        connection = await self.connect()
        try:
            answer: HttpAnswer = await connection.request(method, path, list(sent.items()), raw)
            return Answer(answer.status, answer.headers, await answer.read())
        finally:
            connection.close()
            await closed(connection)


async def closed(connection: HttpConnection) -> None:
    """Wait until the transport is really gone, so that nothing is left to be collected."""
    try:
        await connection.writer.wait_closed()
    except (OSError, ssl.SSLError):
        return


@asynccontextmanager
async def running(
    directory: Path,
    store_url: str = "memory://",
    *,
    kubelet_tls: Callable[[], ssl.SSLContext] | None = None,
    allocator: ServiceAllocator | None = None,
) -> AsyncIterator[Api]:
    clock = RealClock()
    keys = pki.Pki(directory / "pki", now=clock.now())
    keys.ensure(pki.api_server_names("127.0.0.1", ()))
    store = await open_store(store_url, stamp=stamp, clock=clock)
    auth = stack.open_auth(store, clock, keys.key("sa"))
    allocator = allocator or ServiceAllocator(cidr="10.96.0.0/16")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.certificate("apiserver"), keys.key("apiserver"))
    context.load_verify_locations(keys.certificate("ca"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    registry = builtin.registry()
    server = ApiServer(
        store,
        registry,
        clock,
        tls=context,
        listen=[("127.0.0.1", 0)],
        auth=auth,
        kubelet_tls=kubelet_tls,
        admission=default_admission(
            store, clock, registry, authorizer=auth.authorizer, rbac=auth.rbac, allocator=allocator
        ),
    )
    await reconcile.bootstrap(store, clock)
    allocator.follow(store)
    await server.start()
    host, port = server.addresses[0]
    url = f"https://{host}:{port}"
    files = (keys.certificate("ca"), keys.certificate("admin"), keys.key("admin"))
    https = Https(Credentials(url, *files), clock)
    client = Client(server.transport(ADMIN))
    if store.get("/registry/serviceaccounts/default/default") is None:
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    api = Api(server, store, client, Client(https), url, host, port, *files, kubeconfig=directory / "kubeconfig")
    api.kubeconfig.write_text(json.dumps(_kubeconfig(url, *files)))
    try:
        yield api
    finally:
        await https.close()
        await server.stop()
        allocator.close()
        auth.close()
        await store.close()
        await asyncio.sleep(0)


def _kubeconfig(url: str, authority: Path, certificate: Path, key: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
