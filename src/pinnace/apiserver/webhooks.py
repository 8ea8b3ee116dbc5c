"""Calls to webhooks: POST a review to a URL or a Service, over TLS, verified against the webhook's own authority.

Connections are kept and used again; what goes wrong is told in the words of upstream's client, since people search for
them. A Service is reached at one of its ready endpoints, so that it need not be routed where the API server runs.
"""

from __future__ import annotations

import random
import ssl
from base64 import b64decode
from binascii import Error as Base64Error
from collections import OrderedDict
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from pinnace.api import meta
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.apiserver.resources import codec
from pinnace.core import clock as clocks
from pinnace.core.clock import Clock
from pinnace.core.cooperate import LARGE, aside
from pinnace.core.http1 import HttpAnswer, HttpConnection, HttpError
from pinnace.store.protocol import Store, prefix_end

#: Bytes of an answer.
LIMIT = 64 * 1024 * 1024
#: Connections kept of each webhook, for so many seconds, and TLS contexts kept.
IDLE, IDLE_SECONDS, CONTEXTS = 25, 90.0, 128
USER_AGENT = "kube-apiserver-admission"
#: OpenSSL's numbers of what is wrong with a certificate.
_NOT_TRUSTED = frozenset((7, 18, 19, 20, 21))
_EXPIRED = frozenset((9, 10))
_STATUS_TEXTS = {
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class WebhookError(Exception):
    """A webhook that could not be called, or whose answer is none."""


class _Target(NamedTuple):
    """Where a webhook listens, and as whom it must show itself."""

    host: str
    port: int
    server_name: str
    authority: str  # PEM, base64; "" for the machine's own


class WebhookClient:
    """One for each API server. ``close`` it at the end."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock.outside
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._idle: dict[_Target, list[tuple[HttpConnection, float]]] = {}
        self._closed = False

    async def post(self, client: Object, review: Object, seconds: float) -> Any:
        """The webhook's answer to ``review``. ``client`` is its WebhookClientConfig. Raises WebhookError."""
        body = await aside(orjson.dumps, review) if _is_large(review) else orjson.dumps(review)
        authority, path = _url_of(client)
        shown = f'Post "https://{authority}{path}?timeout={seconds:g}s"'
        try:
            target = self._target(client)
        except _AddressError as error:
            raise WebhookError(f"{shown}: {error}") from None
        try:
            async with clocks.timeout(self._clock, seconds):
                tls = await self._context(target.authority)
                status, data = await self._exchange(target, tls, authority, f"{path}?timeout={seconds:g}s", body)
        except TimeoutError:
            raise WebhookError(f"{shown}: context deadline exceeded") from None
        except OSError as error:
            raise WebhookError(f"{shown}: {_go_words(error, target)}") from error
        if not 200 <= status <= 206:
            raise WebhookError(_refusal(status, data))
        if len(data) >= LIMIT:
            raise WebhookError(f"{shown}: http: response body too large")
        return await aside(_decoded, data) if len(data) > LARGE else _decoded(data)

    async def _exchange(
        self, target: _Target, tls: ssl.SSLContext, authority: str, path: str, body: bytes
    ) -> tuple[int, bytes]:
        headers = [
            ("Host", authority),
            ("User-Agent", USER_AGENT),
            ("Accept", "application/json, */*"),
            ("Content-Type", "application/json"),
        ]
        while True:
            connection, used = self._take(target)
            if connection is None:
                connection = await HttpConnection.connect(target.host, target.port, tls, server_name=target.server_name)
            answer: HttpAnswer | None = None
            try:
                try:
                    answer = await connection.request("POST", path, headers, body)
                except OSError:
                    if used:  # it was closed while it was not used: nothing has been asked
                        continue
                    raise
                data = await answer.read(LIMIT)
                return answer.status, data
            finally:
                self._give_back(target, connection, answer)

    def _take(self, target: _Target) -> tuple[HttpConnection | None, bool]:
        kept = self._idle.get(target, [])
        while kept:
            connection, since = kept.pop()
            if not connection.closed and self._clock.monotonic() - since < IDLE_SECONDS:
                return connection, True
            connection.close()
        return None, False

    def _give_back(self, target: _Target, connection: HttpConnection, answer: HttpAnswer | None) -> None:
        whole = answer is not None and answer.complete and answer.keep_alive and not answer.upgraded
        if not whole or connection.closed or self._closed:
            connection.close()
            return
        now = self._clock.monotonic()
        for other in [other for other, kept in self._idle.items() if kept and now - kept[-1][1] > IDLE_SECONDS]:
            for old, _ in self._idle.pop(other):
                old.close()
        kept = self._idle.setdefault(target, [])
        if len(kept) < IDLE:
            kept.append((connection, now))
        else:
            connection.close()

    async def _context(self, authority: str) -> ssl.SSLContext:
        """The TLS context for ``authority``; made aside: reading the machine's own takes long."""
        held = self._contexts.get(authority)
        if held is not None:
            self._contexts.move_to_end(authority)
            return held
        made = self._contexts[authority] = await aside(_context, authority)
        if len(self._contexts) > CONTEXTS:
            self._contexts.popitem(last=False)
        return made

    def _target(self, client: Object) -> _Target:
        authority = str(client.get("caBundle") or "")
        if client.get("url"):
            url = urlsplit(client["url"])
            host = url.hostname or ""
            return _Target(host, url.port or 443, host, authority)
        service = client["service"]
        namespace, name = service["namespace"], service["name"]
        host, port = self._endpoint(namespace, name, service.get("port") or 443)
        return _Target(host, port, f"{name}.{namespace}.svc", authority)

    def _endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """The address of one of a Service's ready endpoints. Raises _AddressError."""
        found = self._store.get(f"/registry/services/{namespace}/{name}")
        if found is None:
            raise _AddressError(f"service {go_quote(name)} not found")
        spec = codec.decoded(found).get("spec") or {}
        if spec.get("type") == "ExternalName":
            return str(spec.get("externalName")), port
        wanted = next((p for p in spec.get("ports") or () if p.get("port") == port), None)
        if wanted is None:
            raise _AddressError(f"no service port {port} found for service {go_quote(name)}")
        prefix = f"/registry/discovery.k8s.io/endpointslices/{namespace}/"
        slices = [codec.decoded(kv) for kv in self._store.range(prefix, prefix_end(prefix)).items]
        slices = [one for one in slices if meta.labels(one).get("kubernetes.io/service-name") == name]
        addresses = [
            (str(endpoint["addresses"][0]), int(held["port"]))
            for one in slices
            for held in one.get("ports") or ()
            if (held.get("name") or "") == (wanted.get("name") or "") and held.get("port")
            for endpoint in one.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        if addresses:
            return random.choice(addresses)
        if not slices and spec.get("clusterIP") not in (None, "", "None"):  # nobody says where it is: as it is routed
            return str(spec["clusterIP"]), port
        raise _AddressError(f"no endpoints available for service {go_quote(name)}")

    def close(self) -> None:
        self._closed = True
        for kept in self._idle.values():
            for connection, _ in kept:
                connection.close()
        self._idle.clear()


class _AddressError(Exception):
    """A webhook that is nowhere."""


def _is_large(review: Object) -> bool:
    """Whether a review may be too long to be encoded on the event loop: one of the many objects of a conversion."""
    return len((review.get("request") or {}).get("objects") or ()) > 50


def _url_of(client: Object) -> tuple[str, str]:
    """A webhook's authority and path."""
    if client.get("url"):
        url = urlsplit(client["url"])
        return url.netloc, url.path or "/"
    service = client["service"]
    path = service.get("path") or "/"
    return f"{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}", path


def _context(authority: str) -> ssl.SSLContext:
    """Verifies as Go does: any certificate of the authority's is a root, names are those of the extension alone."""
    try:
        context = ssl.create_default_context(cadata=b64decode(authority).decode() if authority else None)
    except (ssl.SSLError, Base64Error, UnicodeDecodeError, ValueError):
        raise WebhookError("unable to load root certificates: unable to parse bytes as PEM block") from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    return context


def _go_words(error: OSError, target: _Target) -> str:
    """What went wrong, as Go's net/http and crypto/tls tell it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if error.verify_code in _NOT_TRUSTED:
            why = "certificate signed by unknown authority"
        elif error.verify_code in _EXPIRED:
            why = "certificate has expired or is not yet valid"
        elif "mismatch" in why:
            why = f"certificate is not valid for the name {target.server_name}"
        return f"tls: failed to verify certificate: x509: {why}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    where = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {where}: connect: connection refused"
    if isinstance(error, HttpError):
        return "EOF" if "closed" in str(error) else str(error)
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    if type(error).__name__ == "gaierror":
        return f"dial tcp: lookup {target.host}: no such host"
    return f"dial tcp {where}: {(error.strerror or str(error)).lower()}"


def _refusal(status: int, data: bytes) -> str:
    """What upstream's client makes of an answer that is no success."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict) and told.get("kind") == "Status" and told.get("message"):
        return str(told["message"])
    if status in _STATUS_TEXTS:
        return _STATUS_TEXTS[status]
    said = data[:2048].decode("utf-8", "replace").strip() or "unknown"
    if status >= 500:
        return f"an error on the server ({go_quote(said)}) has prevented the request from succeeding"
    if status in (400, 403):
        return said if status == 403 else "the server rejected our request for an unknown reason"
    return f"the server responded with the status code {status} but did not return more information"


def _decoded(data: bytes) -> Any:
    if not data:
        raise WebhookError("0-length response with status code: 200 and content type: ")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WebhookError(f"couldn't get version/kind; json parse error: {error}") from None
