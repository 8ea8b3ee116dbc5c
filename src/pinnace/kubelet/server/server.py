"""The kubelet's paths, for one node or for all the simulated nodes of a process."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock, parse_timestamp
from pinnace.kubelet import logs
from pinnace.kubelet.configuration import Configuration
from pinnace.kubelet.lifecycle.situation import EPHEMERAL, INIT, REGULAR, containers_of
from pinnace.kubelet.logs import LogOptions
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.worker import PodWorker
from pinnace.kubelet.runtime.base import EXITED, RUNNING, Container, PodState, RuntimeFailure
from pinnace.kubelet.server import metrics
from pinnace.kubelet.server.access import Access
from pinnace.kubelet.server.http import Answer, HttpServer, Refusal, Request
from pinnace.kubelet.server.relay import relay
from pinnace.kubelet.server.summary import Summary

log = logging.getLogger(__name__)


def tls_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """A server's context that asks callers for a certificate of ``client_ca``. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _json(body: Object) -> Answer:
    return Answer(body=orjson.dumps(body), content_type="application/json")


async def _listen(server: HttpServer, host: str, port: int) -> int:
    try:
        return await server.listen(host, port)
    except OSError as error:
        if not port:
            raise
        log.info("port %d of %s cannot be had (%s): taking a free one", port, host, error.strerror or error)
        return await server.listen(host, 0)


class HealthServer:
    """``/healthz`` without TLS, for this machine's own supervision."""

    def __init__(self, clock: Clock) -> None:
        self._http = HttpServer(self._handle, clock, None)

    async def listen(self, host: str, port: int) -> int:
        """The port; a free one if ``port`` is taken. Raises OSError."""
        return await _listen(self._http, host, port)

    async def stop(self) -> None:
        await self._http.stop()

    async def _handle(self, request: Request) -> Answer:
        if request.path.rstrip("/") != "/healthz":
            raise Refusal(404, "404 page not found")
        return Answer(body=b"ok")


class KubeletServer:
    """``managers()`` are the nodes served. Without ``access`` everyone is let in: for tests only."""

    def __init__(
        self,
        managers: Callable[[], Iterable[PodManager]],
        clock: Clock,
        tls: ssl.SSLContext | None,
        access: Access | None,
        configuration: Configuration | None = None,
    ) -> None:
        self._managers = managers
        self._configuration = configuration or Configuration()
        self._summary = Summary(clock)
        self._clock = clock
        self._access = access
        self._http = HttpServer(self._handle, clock, tls)

    async def listen(self, host: str, port: int) -> int:
        """The port; a free one if ``port`` is taken or 0. Raises OSError."""
        return await _listen(self._http, host, port)

    async def stop(self) -> None:
        await self._http.stop()

    async def _handle(self, request: Request) -> Answer | None:
        parts = request.path.strip("/").split("/")
        if parts[0] in ("healthz", "livez", "readyz"):
            return Answer(body=b"ok")
        if self._access is not None:
            authorization = request.header("authorization")
            await self._access.check(request.certificate, request.method, request.path, authorization)
        try:
            return await self._route(request, parts)
        except RuntimeFailure as failure:
            raise Refusal(503 if failure.code == "UNAVAILABLE" else 500, str(failure)) from failure

    async def _route(self, request: Request, parts: list[str]) -> Answer | None:
        what = parts[0]
        if what == "containerLogs" and len(parts) == 4:
            return await self._logs(request, parts[1], parts[2], parts[3])
        if what in ("exec", "attach") and len(parts) in (4, 5):
            await self._into_container(request, what, parts[1], parts[2], parts[-1])
            return None
        if what == "portForward" and len(parts) in (3, 4):
            await self._port_forward(request, parts[1], parts[2])
            return None
        if what == "pods" and len(parts) == 1:
            items = [pod for manager in self._managers() for pod in manager.pods()]
            return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
        path = request.path.rstrip("/")
        if path == "/stats/summary":
            return _json(self._summary.of(list(self._managers())))
        if path == "/stats/summaries":  # ours: one summary for each of the nodes that this server answers for
            return _json(await self._summary.each(list(self._managers())))
        if path == "/metrics/resource":
            body = metrics.resources(list(self._managers()), self._clock)
            return Answer(body=body, content_type=metrics.CONTENT_TYPE)
        if path == "/metrics":
            return Answer(body=metrics.own(list(self._managers())), content_type=metrics.CONTENT_TYPE)
        if path == "/configz":
            return _json({"kubeletconfig": self._configuration.shown()})
        raise Refusal(404, "404 page not found")

    # -- finding

    def _worker(self, namespace: str, name: str) -> tuple[PodManager, PodWorker]:
        for manager in self._managers():
            worker = manager.worker(namespace, name)
            if worker is not None:
                return manager, worker
        raise Refusal(404, f'pod "{name}" not found in namespace "{namespace}"' if name else "no pod named")

    async def _container(
        self, namespace: str, name: str, container: str
    ) -> tuple[PodManager, PodWorker, PodState, list[Container]]:
        manager, worker = self._worker(namespace, name)
        names = {c["name"] for kind in (REGULAR, INIT, EPHEMERAL) for c in containers_of(worker.pod, kind)}
        if container not in names:
            raise Refusal(404, f'container "{container}" not found in pod "{name}"')
        state = await manager.runtime.pod(meta.uid(worker.pod))
        return manager, worker, state, [c for c in state.containers if c.name == container]

    # -- logs

    async def _logs(self, request: Request, namespace: str, name: str, container: str) -> Answer:
        manager, worker, _, found = await self._container(namespace, name, container)
        begun = [c for c in found if c.state in (RUNNING, EXITED)]
        if request.query.get("previous") == "true":
            chosen = next(iter(begun[1:] if begun and begun[0].state == RUNNING else begun[1:] or begun), None)
            waiting = _waiting_reason(worker, container)
            if begun and begun[0].state == EXITED and waiting is not None:
                chosen = begun[0]  # the one that ended last is the previous one while the next has not begun
            elif len(begun) < 2:
                chosen = None
            if chosen is None:
                raise Refusal(400, f'previous terminated container "{container}" in pod "{name}" not found')
        elif not begun:
            reason = _waiting_reason(worker, container)
            if reason:
                why = f"is waiting to start: {reason}"
                if reason in ("ErrImagePull", "ImagePullBackOff"):
                    why = "is waiting to start: " + (
                        "image can't be pulled" if reason == "ErrImagePull" else "trying and failing to pull image"
                    )
                raise Refusal(400, f'container "{container}" in pod "{name}" {why}')
            raise Refusal(400, f'container "{container}" in pod "{name}" is not available')
        else:
            chosen = begun[0]
        if not manager.runtime.real:
            return Answer(body=f"container {container} of Pod {name} is simulated: it writes no log\n".encode())
        identity = chosen.id

        def running() -> bool:
            current = worker.state
            return any(c.id == identity and c.state == RUNNING for c in current.containers)

        options = log_options(request.query, self._clock.now())
        stream = logs.read(Path(chosen.log_path), options, self._clock, running)
        try:
            first = await anext(stream, b"")
        except logs.LogError as error:
            raise Refusal(500, str(error)) from error
        return Answer(body=_prepend(first, stream))

    # -- streams

    async def _into_container(self, request: Request, what: str, namespace: str, name: str, container: str) -> None:
        manager, _, _, found = await self._container(namespace, name, container)
        running = next((c for c in found if c.state == RUNNING), None)
        if running is None:
            raise Refusal(
                400,
                f'container not found ("{container}")'
                if not found
                else f"cannot {what} in a stopped container: {container} of pod {name} is not running",
            )
        on = {flag: request.query.get(flag) in ("1", "true") for flag in ("input", "output", "error", "tty")}
        streams = {"tty": on["tty"], "stdin": on["input"], "stdout": on["output"], "stderr": on["error"]}
        if what == "exec":
            command = [value for key, value in request.pairs if key == "command"]
            url = await manager.runtime.exec_url(running.id, command, **streams)
        else:
            url = await manager.runtime.attach_url(running.id, **streams)
        await relay(request, url)

    async def _port_forward(self, request: Request, namespace: str, name: str) -> None:
        manager, worker = self._worker(namespace, name)
        box = (await manager.runtime.pod(meta.uid(worker.pod))).sandbox()
        if box is None or not box.ready:
            raise Refusal(400, f"pod {name} is not running: there is nothing to forward to")
        ports = [int(value) for key, value in request.pairs if key == "port" and value.isdecimal()]
        await relay(request, await manager.runtime.port_forward_url(box.id, ports))


def _waiting_reason(worker: PodWorker, container: str) -> str | None:
    status = worker.pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(field) or ():
            if entry["name"] == container and "waiting" in (entry.get("state") or {}):
                return str(entry["state"]["waiting"].get("reason") or "ContainerCreating")
    return None if status.get("containerStatuses") else "ContainerCreating"


def log_options(query: dict[str, str], now: float) -> LogOptions:
    """Raises Refusal 400."""
    try:
        since = None
        if query.get("sinceSeconds"):
            since = now - int(query["sinceSeconds"])
        elif query.get("sinceTime"):
            since = parse_timestamp(query["sinceTime"])
        tail, limit = query.get("tailLines"), query.get("limitBytes")
        return LogOptions(
            follow=query.get("follow") == "true",
            tail_lines=int(tail) if tail else None,
            since=since,
            limit_bytes=int(limit) if limit else None,
            timestamps=query.get("timestamps") == "true",
            stream="" if query.get("stream", "All") == "All" else query["stream"],
        )
    except ValueError as error:
        raise Refusal(400, f"unable to decode query: {error}") from error


async def _prepend(first: bytes, stream: logs.Chunks) -> logs.Chunks:
    try:
        if first:
            yield first
        async for chunk in stream:
            yield chunk
    finally:
        await stream.aclose()
