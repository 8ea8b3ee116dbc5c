"""The API server as a part of a cluster: wires store, pipeline and listeners, and runs what must follow the start."""

from __future__ import annotations

import gc
import logging
import platform
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pinnace
from pinnace.api.registry import Registry, Resource
from pinnace.apiserver import expiry, metrics, wiring
from pinnace.apiserver.auth import discovery as issuer
from pinnace.apiserver.auth.stack import Auth
from pinnace.apiserver.crd.controller import Controller
from pinnace.apiserver.crd.registrar import Registrar
from pinnace.apiserver.discovery import Discovery
from pinnace.apiserver.health import Health
from pinnace.apiserver.http.server import HttpServer
from pinnace.apiserver.inprocess import InProcess
from pinnace.apiserver.pipeline import Pipeline, Result
from pinnace.apiserver.request import Admission, Authenticator, Authorizer, Impersonator, Request, User
from pinnace.apiserver.resources import computed, render
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.resources.codec import stamp
from pinnace.apiserver.resources.computed import Source
from pinnace.apiserver.resources.router import Router
from pinnace.apiserver.response import Response, text
from pinnace.client.client import Client
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.store.protocol import Store

if TYPE_CHECKING:
    from pinnace.apiserver.openapi import OpenApi

log = logging.getLogger(__name__)

__all__ = ["ApiServer", "stamp"]


LOOPBACK = User("system:apiserver", groups=("system:masters", "system:authenticated"))


class ApiServer:
    """Implements ``core.supervisor.Part``. The store is the caller's to open (with ``stamp``) and to close."""

    name = "apiserver"

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None,
        listen: Sequence[tuple[str, int]] = (("127.0.0.1", 6443),),
        authenticator: Authenticator | None = None,
        impersonator: Impersonator | None = None,
        authorizer: Authorizer | None = None,
        admission: Admission | None = None,
        auth: Auth | None = None,
        kubelet_tls: Callable[[], ssl.SSLContext] | None = None,
        near_kubelets: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        """``auth`` gives the authenticator, impersonator and authorizer that are not given, and answers reviews and
        requests for tokens. ``kubelet_tls`` makes the context, client certificate included, for connections to
        kubelets; ``near_kubelets`` says where those on this machine listen, by node. Without ``auth`` everybody may
        do everything: for tests."""
        self.store = store
        self.registry = registry
        self.clock = clock
        self.backend = Backend(store, registry, clock, admission)
        self.backend.authorizer = authorizer or (auth.authorizer if auth else None)
        self.router = Router(self.backend)
        self.health = Health()
        self.others = Others(self)
        self.pipeline = Pipeline(
            self.router,
            self.others,
            clock,
            authenticator=authenticator or (auth.authenticator if auth else None),
            impersonator=impersonator or (auth.impersonator if auth else None),
            authorizer=self.backend.authorizer,
        )
        wiring.register(self.router, auth, kubelet_tls, near_kubelets)
        self._definitions = Controller(store, Client(self.transport(LOOPBACK), field_manager="kube-apiserver"), clock)
        self._registrar = Registrar(store, registry, self.backend.hub, self._definitions.changed)
        if auth is not None:
            self.others.roots.update(issuer.handlers(auth.tokens))
        self.others.roots["metrics"] = self._metrics
        #: Run in order after the listeners are up, before ``/readyz`` is ok.
        self.post_start: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        #: (host, port) of each listener, once started.
        self.addresses: list[tuple[str, int]] = []
        self._listen = list(listen)
        self._http = HttpServer(self.pipeline.handle, clock.outside, tls)
        self._pending_hooks: set[str] = set()
        self._tasks = Tasks("apiserver", clock)
        self._stopping = False
        self.health.ready["store"] = lambda: store.refusal
        self.health.ready["shutdown"] = lambda: "process is shutting down" if self._stopping else None

    def _url(self) -> str:
        host, port = self.addresses[0]
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def serve_computed(self, rows: Iterable[Resource], source: Source) -> None:
        """Serve resources whose objects ``source`` computes when they are asked for."""
        handlers = computed.handlers(source)
        for row in rows:
            self.router.register(row.group, row.plural, "", handlers)
            self.registry.add(row)

    def transport(self, user: User, user_agent: str = "pinnace") -> InProcess:
        """A client transport with that identity; what it writes is ``user_agent``'s (``managedFields``)."""
        return InProcess(self.pipeline, user, user_agent)

    async def start(self) -> None:
        """Raises OSError if an address cannot be had, and whatever a post-start hook raises."""
        for name, _ in self.post_start:
            self._pending_hooks.add(name)
            self.health.ready[f"poststarthook/{name}"] = lambda name=name: (  # type: ignore[misc]
                "not finished" if name in self._pending_hooks else None
            )
        try:
            self._registrar.start()
            for host, port in self._listen:
                self.addresses.append(await self._http.listen(host, port))
            if self.addresses:
                self.others.discovery.server_address = self._url().removeprefix("https://")
            for name, hook in self.post_start:
                await hook()
                self._pending_hooks.discard(name)
            self._definitions.run(self._tasks)
            self._tasks.forever(lambda: expiry.run(self.store, self.clock), name="event expiry")
            spare_collector()
        except BaseException:
            await self.stop()
            raise

    async def listen_also(self, host: str, port: int) -> None:
        """Serve on one more address, from a start to the stop. Raises OSError."""
        self.addresses.append(await self._http.listen(host, port))

    async def stop(self) -> None:
        self._stopping = True
        self._registrar.stop()
        self._definitions.close()
        await self._tasks.stop()
        await self._http.stop()
        self.backend.close()

    def _metrics(self, request: Request) -> Result:
        mutating, reading = self.pipeline.at_work
        gauges = {
            'apiserver_current_inflight_requests{request_kind="mutating"}': mutating,
            'apiserver_current_inflight_requests{request_kind="readOnly"}': reading,
            "pinnace_connections": self._http.connections,
            "pinnace_watches": self.backend.hub.watchers,
            "pinnace_store_revision": self.store.revision,
            "pinnace_store_compacted_revision": self.store.compacted_revision,
        }
        body = metrics.render(self._http.answered, gauges)
        return Response(200, body, content_type=metrics.CONTENT_TYPE)


def spare_collector() -> None:
    """What has been loaded so far lives as long as the process, and JSON data has no cycles: have Python's cycle
    collector look at the former never and at the latter seldom, or it would hold the event loop. Few new objects at a
    time (1 ms for 2,000, 9 ms for 10,000, on a busy machine): a larger step costs as much, but at once. All objects
    are hardly ever looked at: that takes half a second with 5,000 nodes, and of the 1.8 million containers that making
    these and as many Pods allocates, 224 objects are cycles that outlive the small steps."""
    gc.freeze()
    gc.set_threshold(1_000, 5, 10_000)


#: The paths served below the roots of which more than the root itself is listed at ``/``.
LEAVES = {
    "openapi": ("/openapi/v2", "/openapi/v3"),
    "openid": (issuer.KEYS_PATH,),
    ".well-known": (issuer.CONFIGURATION_PATH,),
}


class Others:
    """Paths that are no resources."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.discovery = Discovery(server.registry)
        #: ``handler(request)`` by the first part of the path (``metrics``, ``openid``, ``.well-known``).
        self.roots: dict[str, Callable[[Request], Result]] = {"version": self._version, "openapi": self._openapi}
        self._documents: OpenApi | None = None

    def route(self, request: Request) -> Result:
        if request.method not in ("GET", "HEAD"):
            return text(405, "405 method not allowed\n") if self._known(request) else not_found()
        found = self._server.health.answer(request)
        if found is not None:
            return found
        root = request.path.strip("/").partition("/")[0]
        if root in ("api", "apis"):
            return self.discovery.answer(request) or not_found()
        if not root:
            return render.plain(request, 200, {"paths": self._paths()})
        handler = self.roots.get(root)
        return handler(request) if handler is not None else not_found()

    def _paths(self) -> list[str]:
        registry = self._server.registry
        found = {"/api", "/apis", "/healthz", "/livez", "/readyz"}
        for root in self.roots:
            found.update(LEAVES.get(root, (f"/{root}",)))
        for row in registry:
            if row.group:
                found.add(f"/apis/{row.group}")
                found.add(f"/apis/{row.api_version}")
            else:
                found.add(f"/api/{row.version}")
        health = self._server.health
        for root, checks in (
            ("healthz", health.live),
            ("livez", health.live),
            ("readyz", {**health.live, **health.ready}),
        ):
            found.update(f"/{root}/{name}" for name in checks)
        return sorted(found)

    def _known(self, request: Request) -> bool:
        root = request.path.strip("/").partition("/")[0]
        return root in self.roots or root in ("api", "apis", "healthz", "livez", "readyz")

    def _openapi(self, request: Request) -> Result:
        if self._documents is None:
            from pinnace.apiserver.openapi import OpenApi

            self._documents = OpenApi(self._server.registry)
        return self._documents.answer(request) or not_found()

    def _version(self, request: Request) -> Result:
        if request.path.rstrip("/") != "/version":
            return not_found()
        return render.plain(request, 200, version())


def not_found() -> Result:
    return text(404, "404 page not found\n")


def version() -> dict[str, Any]:
    """The answer of ``/version``."""
    major, minor, _ = pinnace.KUBERNETES_VERSION.removeprefix("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{pinnace.KUBERNETES_VERSION}+pinnace.{pinnace.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{machine}",
    }
