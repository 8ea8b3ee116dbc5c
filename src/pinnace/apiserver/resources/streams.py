"""Subresources that a node serves: ``log``, ``exec``, ``attach``, ``portforward`` of Pods, and ``proxy``.

The API server finds the kubelet of the Pod's node and passes the request on over a connection of its own, with its
client certificate. What asks for an upgrade (SPDY/3.1, WebSocket) becomes a byte splice: path, Host and credentials are
rewritten, the rest passes unchanged. A kubelet's error is answered as it came.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.auth.authorize import refused
from pinnace.apiserver.request import Authorizer, Request, attributes_of
from pinnace.apiserver.resources import codec, links
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.response import Answer, Pipe, Response, Stream, Takeover
from pinnace.core import clock
from pinnace.core.http1 import HttpAnswer, HttpConnection, HttpError

log = logging.getLogger(__name__)

KUBELET_PORT = 10250
#: Bytes of a kubelet's error that are read.
ERROR_BYTES = 64 * 1024
#: Seconds to reach a kubelet.
CONNECT_SECONDS = 10.0
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
#: Not passed on: they belong to this connection, or are the client's credentials.
_DROPPED = frozenset(("authorization", "host", "content-length", "transfer-encoding", "expect", "accept-encoding"))
_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer"))
_EXEC_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_LOG_FLAGS = ("follow", "previous", "timestamps")
_LOG_OPTIONS = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")


class Streams:
    """``kubelet_tls`` carries the client certificate for kubelets; None if there are none to reach. ``near`` are the
    addresses of kubelets on this machine, by node: they need not listen where others could reach them."""

    def __init__(
        self,
        kubelet_tls: Callable[[], ssl.SSLContext] | None,
        near: Mapping[str, tuple[str, int]] | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self._authorizer = authorizer
        self._make_tls = kubelet_tls
        self._near = near if near is not None else {}
        self._tls: ssl.SSLContext | None = None

    # -- what is served

    async def logs(self, backend: Backend, request: Request, row: Resource) -> Answer:
        pod = _pod(backend, request, row)
        container = container_of(pod, request.query.get("container", ""), all_kinds=True)
        if not pod["spec"].get("nodeName"):
            return Response(200, b"", content_type="text/plain")
        query = request.query
        asked = [(name, "true") for name in _LOG_FLAGS if request.asks(name)]
        asked += [(name, query[name]) for name in _LOG_OPTIONS if query.get(name)]
        _check_log_options(query)
        info = request.info
        path = f"/containerLogs/{info.namespace}/{info.name}/{quote(container)}"
        target = f"{path}?{urlencode(asked)}" if asked else path
        return await self._forward_to_node(backend, request, pod["spec"]["nodeName"], target, method="GET")

    def connect(self, what: str) -> Callable[[Backend, Request, Resource], Any]:
        """The handler of ``exec`` or ``attach``."""

        async def handle(backend: Backend, request: Request, row: Resource) -> Answer:
            self._check_create(request)
            sent = parse_qsl(request.query_string, keep_blank_values=True)
            options: Object = {ours: True for ours, _ in _EXEC_OPTIONS if request.asks(ours)}
            if request.query.get("container"):
                options["container"] = request.query["container"]
            if what == "exec" and (command := [value for name, value in sent if name == "command"]):
                options["command"] = command
            await _admit(backend, request, row, what, options)
            pod = _pod(backend, request, row)
            container = container_of(pod, options.get("container") or "", all_kinds=True)
            commands = [("command", str(value)) for value in options.get("command") or ()]
            if what == "exec" and not commands:
                raise bad_request("you must specify at least 1 command for the container")
            flags = [(theirs, "1") for ours, theirs in _EXEC_OPTIONS if options.get(ours)]
            if not any(name != "tty" for name, _ in flags):
                raise bad_request("you must specify at least one of stdin, stdout, stderr")
            info = request.info
            path = f"/{what}/{info.namespace}/{info.name}/{quote(container)}"
            target = f"{path}?{urlencode(flags + (commands if what == 'exec' else []))}"
            return await self._upgrade_at_node(backend, request, _node_of(pod), target)

        return handle

    async def portforward(self, backend: Backend, request: Request, row: Resource) -> Answer:
        self._check_create(request)
        sent = parse_qsl(request.query_string, keep_blank_values=True)
        ports = [("port", value) for name, value in sent if name == "ports"]
        asked = [int(value) for _, value in ports if value.isascii() and value.isdecimal()]
        await _admit(backend, request, row, "portforward", {"ports": asked} if asked else {})
        pod = _pod(backend, request, row)
        info = request.info
        target = f"/portForward/{info.namespace}/{info.name}" + (f"?{urlencode(ports)}" if ports else "")
        return await self._upgrade_at_node(backend, request, _node_of(pod), target)

    async def node_proxy(self, backend: Backend, request: Request, row: Resource) -> Answer:
        """nodes/[SCHEME:]NAME[:PORT]/proxy/PATH: the kubelet's own server, or another port of the node."""
        await _admit_proxy(backend, request, row)
        scheme, name, port = split_proxied(request.info.name)
        host, kubelet_port = kubelet_address(codec.read(backend.get(row, "", name), row))
        if port in ("", str(kubelet_port)):
            return await self._forward_to_node(backend, request, name, proxied_target(request))
        return await self._direct(backend, request, scheme, host, _port(port))

    async def pod_proxy(self, backend: Backend, request: Request, row: Resource) -> Answer:
        """pods/[SCHEME:]NAME[:PORT]/proxy/PATH: straight to the Pod."""
        await _admit_proxy(backend, request, row)
        scheme, name, port = split_proxied(request.info.name)
        pod = codec.read(backend.get(row, request.info.namespace, name), row)
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise bad_request("no addresses for hostname")
        number = _port(port) if port.isdecimal() else _named_port(pod, port)
        return await self._direct(backend, request, scheme, str(address), number)

    async def service_proxy(self, backend: Backend, request: Request, row: Resource) -> Answer:
        """services/[SCHEME:]NAME[:PORT]/proxy/PATH: to one of its endpoints."""
        await _admit_proxy(backend, request, row)
        scheme, name, port = split_proxied(request.info.name)
        service = codec.read(backend.get(row, request.info.namespace, name), row)
        ports = [
            p
            for p in service["spec"].get("ports") or ()
            if not port or p.get("name") == port or str(p.get("port")) == port
        ]
        if not ports:
            raise errors.unavailable(f'no service port {errors.go_quote(port)} found for service "{name}"')
        found = _endpoint(backend, request.info.namespace, name, str(ports[0].get("name") or ""))
        if found is None:
            raise errors.unavailable(f'no endpoints available for service "{name}"')
        return await self._direct(backend, request, scheme, *found)

    # -- how

    def _check_create(self, request: Request) -> None:
        """A WebSocket begins with a GET: those who may only read must not get into a container by it. Raises ApiError
        403."""
        if self._authorizer is not None and request.info.verb != "create":
            attributes = attributes_of(request.user, request.info, "create")
            allowed, reason = self._authorizer.authorize(attributes)
            if not allowed:
                raise refused(attributes, reason)

    def _client_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            if self._make_tls is None:
                raise errors.unavailable("this API server has no credentials for kubelets")
            self._tls = self._make_tls()
        return self._tls

    async def _upgrade_at_node(self, backend: Backend, request: Request, node_name: str, target: str) -> Answer:
        if "upgrade" not in request.headers.get("connection", "").lower():
            raise bad_request("Upgrade request required")
        return await self._forward_to_node(backend, request, node_name, target)

    async def _forward_to_node(
        self, backend: Backend, request: Request, node_name: str, target: str, *, method: str = ""
    ) -> Answer:
        row = backend.registry.get("", "v1", "nodes")
        assert row is not None
        node = codec.read(backend.get(row, "", node_name), row)
        host, port = self._near.get(node_name) or kubelet_address(node)
        connection = await _connect(backend.clock, host, port, self._client_tls())
        return await _exchange(connection, request, method or request.method, target, f"{host}:{port}")

    async def _direct(self, backend: Backend, request: Request, scheme: str, host: str, port: int) -> Answer:
        """Straight to an address of the cluster: whoever may write it must not reach this machine's own services."""
        if not is_proxyable(host):
            raise bad_request("address not allowed")
        tls = None
        if scheme == "https":
            tls = ssl.create_default_context()
            tls.check_hostname = False  # as upstream: a Pod's certificate is its own affair
            tls.verify_mode = ssl.CERT_NONE
        connection = await _connect(backend.clock, host, port, tls, _no_service)
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        answer = await _exchange(
            connection, request, request.method, proxied_target(request), shown, errors_as_they_are=True
        )
        prefix = "/".join(request.path.split("/")[: _proxied_from(request) + 1])
        return links.Way(prefix, request.headers.get("host", ""), shown).answer(answer)


def is_proxyable(host: str) -> bool:
    """Whether requests may be passed on to the IP address ``host``: not to loopback, link-local, multicast or
    unspecified ones (upstream ``IsProxyableIP``)."""
    try:
        address = ip_address(host)
    except ValueError:
        return False  # a name: what it means may change between the look and the use
    address = getattr(address, "ipv4_mapped", None) or address
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536:
        return int(text[:6])
    raise bad_request(f"invalid port {errors.go_quote(text)}")


def _pod(backend: Backend, request: Request, row: Resource) -> Object:
    return codec.read(backend.get(row, request.info.namespace, request.info.name), row)


async def _admit(backend: Backend, request: Request, row: Resource, what: str, options: Object) -> None:
    """Let admission look at what is asked of a subresource, and change it. Raises ApiError."""
    kind = row.subresources[what].kind
    options |= {"kind": kind.kind, "apiVersion": kind.api_version}
    async with backend.admitted(
        request, row, "CONNECT", options, None, name=request.info.name, subresource=what
    ) as admitted:
        await admitted.validated()
        admitted.committed = True


async def _admit_proxy(backend: Backend, request: Request, row: Resource) -> None:
    path = "/".join(request.path.lstrip("/").split("/")[_proxied_from(request) :])
    await _admit(backend, request, row, "proxy", {"path": path} if path else {})


def _node_of(pod: Object) -> str:
    name = pod["spec"].get("nodeName")
    if not name:
        raise bad_request(f"pod {meta.name(pod)} does not have a host assigned")
    return str(name)


def kubelet_address(node: Object) -> tuple[str, int]:
    """Where a node's kubelet listens. Raises ApiError 503 if the node does not say."""
    status = node.get("status") or {}
    by_type = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
    for type in ("InternalIP", "Hostname", "ExternalIP"):
        if by_type.get(type):
            return str(by_type[type]), int(port)
    raise errors.unavailable(f"node {meta.name(node)} has no address")


def container_of(pod: Object, asked: str, *, all_kinds: bool) -> str:
    """The container meant. Raises ApiError 400 in upstream's words if there is a choice, or no such container."""
    spec, name = pod["spec"], meta.name(pod)
    main = [str(c["name"]) for c in spec.get("containers") or ()]
    init = [str(c["name"]) for c in spec.get("initContainers") or ()]
    ephemeral = [str(c["name"]) for c in spec.get("ephemeralContainers") or ()]
    if asked:
        if asked not in [*main, *init, *ephemeral]:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return main[0]
    default = meta.annotations(pod).get(DEFAULT_CONTAINER)
    if default in main:
        return str(default)
    if not main:
        raise bad_request(f"a container name must be specified for pod {name}")
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(text)


def _check_log_options(query: dict[str, str]) -> None:
    found = []
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        text = query.get(name)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError:
            raise bad_request(f"strconv.ParseInt: parsing {errors.go_quote(text)}: invalid syntax") from None
        if number < least:
            found.append(errors.invalid_value(name, number, f"must be greater than or equal to {least}"))
    if query.get("sinceSeconds") and query.get("sinceTime"):
        found.append(errors.forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if found:
        raise errors.invalid("", "PodLogOptions", "", found)


def split_proxied(text: str) -> tuple[str, str, str]:
    """``[SCHEME:]NAME[:PORT]`` -> (scheme, name, port)."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0] or "http", parts[1], parts[2]
    return ("http", parts[0], parts[1]) if len(parts) == 2 else ("http", text, "")


def _proxied_from(request: Request) -> int:
    """How many parts of the path are the proxy's: api, v1, (namespaces, NAMESPACE,) RESOURCE, NAME, proxy."""
    return 7 if request.info.namespace else 5


def proxied_target(request: Request) -> str:
    """The part of the path behind ``/proxy``, with the query."""
    rest = "/".join(request.path.lstrip("/").split("/")[_proxied_from(request) :])
    path = quote(f"/{rest}", safe="/:@!$&'()*+,;=~-._")
    return f"{path}?{request.query_string}" if request.query_string else path


def _named_port(pod: Object, name: str) -> int:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if not name or port.get("name") == name:
                return int(port["containerPort"])
    if not name:
        return 80
    raise bad_request(f"no port {errors.go_quote(name)} in pod {meta.name(pod)}")


def _endpoint(backend: Backend, namespace: str, service: str, port_name: str) -> tuple[str, int] | None:
    row = backend.registry.get("discovery.k8s.io", "v1", "endpointslices")
    if row is None:
        return None
    from pinnace.store.protocol import prefix_end

    start = f"{row.prefix}{namespace}/"
    for item in backend.store.range(start, prefix_end(start)).items:
        endpoints = codec.read(item, row)
        if meta.labels(endpoints).get("kubernetes.io/service-name") != service:
            continue
        ports = [p for p in endpoints.get("ports") or () if (p.get("name") or "") == port_name]
        for endpoint in endpoints.get("endpoints") or () if ports else ():
            address = str(endpoint["addresses"][0])
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if ready and _is_of_its_pod(backend, namespace, endpoint, address):
                return address, int(ports[0]["port"])
    return None


def _is_of_its_pod(backend: Backend, namespace: str, endpoint: Object, address: str) -> bool:
    """Slices can be written by users: an endpoint counts only if a Pod of the namespace has its address."""
    reference = endpoint.get("targetRef") or {}
    row = backend.registry.get("", "v1", "pods")
    if row is None or reference.get("kind") != "Pod" or reference.get("namespace") != namespace:
        return False
    try:
        pod = codec.read(backend.get(row, namespace, str(reference.get("name") or "")), row)
    except ApiError:
        return False
    return any(ip.get("ip") == address for ip in (pod.get("status") or {}).get("podIPs") or ())


def _no_kubelet(why: str) -> ApiError:
    return ApiError(500, "InternalError", f"error dialing backend: {why}")


def _no_service(why: str) -> ApiError:
    return errors.unavailable(f"error trying to reach service: {why}")


async def _connect(
    time: clock.Clock,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    refusal: Callable[[str], ApiError] = _no_kubelet,
) -> HttpConnection:
    try:
        async with clock.timeout(time, CONNECT_SECONDS):
            return await HttpConnection.connect(host, port, tls)
    except TimeoutError:
        why = "i/o timeout"
    except OSError as error:
        why = (error.strerror or str(error)).replace("\n", " ").lower()  # as Go writes them
    raise refusal(f"dial tcp {host}:{port}: connect: {why}")


def passed_headers(request: Request, host: str) -> list[tuple[str, str]]:
    """The request's headers as the backend gets them."""
    dropped = set(_DROPPED)
    if "upgrade" not in request.headers:
        dropped.update(("connection", "keep-alive"))
    return [
        ("Host", host),
        *(
            (name, value)
            for name, value in request.headers.items()
            if name not in dropped and not name.startswith("impersonate-")
        ),
    ]


async def _exchange(
    connection: HttpConnection,
    request: Request,
    method: str,
    target: str,
    host: str,
    *,
    errors_as_they_are: bool = False,
) -> Answer:
    """Send the request on; what it is answered with becomes ours."""
    try:
        body = request.body if isinstance(request.body, bytes) and request.body else None
        answer = await connection.request(method, target, passed_headers(request, host), body)
    except OSError as error:
        connection.close()
        if errors_as_they_are:
            raise _no_service(str(error)) from None
        raise ApiError(500, "InternalError", f"error sending request to {host}: {error}") from None
    except BaseException:
        connection.close()
        raise
    if answer.upgraded:
        return Takeover(lambda pipe: _splice(pipe, connection, answer))
    if answer.status >= 400 and not errors_as_they_are:
        try:
            return await _error(answer)
        finally:
            connection.close()
    kept = [
        (name.title(), value) for name, value in answer.headers.items() if name not in _HOP | {"content-type", "date"}
    ]
    return Stream(
        answer.status,
        _body(connection, answer),
        content_type=answer.headers.get("content-type", ""),
        headers=kept,
    )


async def _body(connection: HttpConnection, answer: HttpAnswer) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in answer.chunks():
            yield chunk
    except HttpError as error:
        log.debug("a backend broke off: %s", error)
        raise
    finally:
        connection.close()


async def _error(answer: HttpAnswer) -> Response:
    """A kubelet's error as a Status."""
    raw = await answer.read(ERROR_BYTES)
    content_type = answer.headers.get("content-type", "")
    if "json" in content_type:
        try:
            status = orjson.loads(raw)
        except orjson.JSONDecodeError:
            status = None
        if isinstance(status, dict) and status.get("kind") == "Status":
            return Response(answer.status, raw, object=status)
    message = raw.decode("utf-8", "replace").strip() or f"the kubelet answered {answer.status}"
    reasons = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError"}
    error = ApiError(answer.status, reasons.get(answer.status, ""), message)
    return Response(answer.status, orjson.dumps(error.status()) + b"\n", object=error.status())


async def _splice(pipe: Pipe, connection: HttpConnection, answer: HttpAnswer) -> None:
    """Bytes both ways until either side ends."""
    head = [b"HTTP/1.1 101 Switching Protocols"]
    head += [name + b": " + value for name, value in answer.raw_headers]
    try:
        await pipe.write(b"\r\n".join([*head, b"", b""]) + connection.rest)
        up = asyncio.ensure_future(_to_backend(pipe, connection))
        down = asyncio.ensure_future(_to_client(pipe, connection))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if not down.done():  # the client has ended its side: let what is under way come back
                await asyncio.wait((down,), timeout=None if not up.exception() else 0)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
    except ConnectionError:
        log.debug("a stream was broken off")
    finally:
        connection.close()


async def _to_backend(pipe: Pipe, connection: HttpConnection) -> None:
    while data := await pipe.read():
        connection.writer.write(data)
        await connection.writer.drain()
    if connection.writer.can_write_eof():
        connection.writer.write_eof()
    else:
        connection.close()


async def _to_client(pipe: Pipe, connection: HttpConnection) -> None:
    while data := await connection.reader.read(64 * 1024):
        await pipe.write(data)


def _below_root(
    proxy: Callable[[Backend, Request, Resource], Awaitable[Answer]],
) -> Callable[[Backend, Request, Resource], Awaitable[Answer]]:
    """``proxy``, with pages asked for without a slash at the end sent to where they find their own links."""

    async def handle(backend: Backend, request: Request, row: Resource) -> Answer:
        page = request.method in ("GET", "HEAD") and "upgrade" not in request.headers
        if page and request.path.endswith(f"/{request.info.name}/proxy"):
            backend.get(row, request.info.namespace, split_proxied(request.info.name)[1])  # or there is nothing to see
            query = f"?{request.query_string}" if request.query_string else ""
            return Response(301, headers=[("Location", f"{quote(request.path, safe='/:')}/{query}")])
        return await proxy(backend, request, row)

    return handle


def handlers(streams: Streams) -> Sequence[tuple[str, str, dict[str, Any]]]:
    """(resource, subresource, handlers by verb) to register."""
    both = ("get", "create")
    every = ("get", "create", "update", "patch", "delete", "")  # OPTIONS has no verb
    execute, attach = streams.connect("exec"), streams.connect("attach")
    return (
        ("pods", "log", {"get": streams.logs}),
        ("pods", "exec", dict.fromkeys(both, execute)),
        ("pods", "attach", dict.fromkeys(both, attach)),
        ("pods", "portforward", dict.fromkeys(both, streams.portforward)),
        ("pods", "proxy", dict.fromkeys(every, _below_root(streams.pod_proxy))),
        ("services", "proxy", dict.fromkeys(every, _below_root(streams.service_proxy))),
        ("nodes", "proxy", dict.fromkeys(every, _below_root(streams.node_proxy))),
    )
