"""The client's transport over HTTPS: to this API server from another process, or to any conformant one.

Keeps at most ``POOL`` idle connections; a request that finds an idle one closed by the server is sent again on a new
one if it may be repeated. A token file is read again every minute, as bound tokens are renewed in place.
"""

from __future__ import annotations

import base64
import socket
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import orjson

from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.client.transport import WatchEvent
from pinnace.core import clock as clocks
from pinnace.core.clock import Clock
from pinnace.core.http1 import HttpAnswer, HttpConnection

POOL = 16
#: Seconds until a request without an answer is given up; watches and logs have no limit once they are answered.
TIMEOUT = 60.0
TOKEN_SECONDS = 60.0
#: Times that a request is sent whose server says "later", and the most seconds that it may ask for.
ATTEMPTS = 10
LONGEST_WAIT = 60
#: After 30 s of silence three questions, 10 s apart; data that nobody acknowledges for a minute.
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 60_000),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach a server and as whom. Authority, certificate and key are PEM: files, or their content."""

    server: str  # https://host:port
    authority: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None
    token: str = ""
    token_file: Path | None = None
    server_name: str = ""
    insecure: bool = False


class Https:
    """Implements ``client.transport.Transport``."""

    def __init__(self, credentials: Credentials, clock: Clock, *, user_agent: str = "pinnace") -> None:
        url = urlsplit(credentials.server)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"server {credentials.server!r} is not an http(s) URL")
        self._credentials = credentials
        self._clock = clock
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._prefix = url.path.rstrip("/")
        self._tls = tls_context(credentials) if url.scheme == "https" else None
        self._headers = [
            ("Host", url.netloc),
            ("User-Agent", user_agent),
            ("Accept", "application/json"),
        ]
        self._idle: list[HttpConnection] = []
        #: The bearer token that is sent; with a token file, what was read last.
        self.token = credentials.token
        self._token_read = float("-inf")
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        raw = None if body is None else orjson.dumps(body)
        data = await self._whole(method, path, query, raw, content_type)
        try:
            obj = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ConnectionError(f"{method} {path}: the answer is not JSON: {error}") from None
        return cast(Object, obj)

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        return await self._whole("GET", path, query, None, "")

    async def _whole(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, content_type: str
    ) -> bytes:
        for attempt in range(ATTEMPTS):
            async with clocks.timeout(self._clock, TIMEOUT):
                connection, answer = await self._send(method, path, query, body, content_type)
                try:
                    data = await answer.read()
                except BaseException:
                    connection.close()
                    raise
            self._give_back(connection, answer)
            delay = retry_after(answer)
            if delay is None or attempt == ATTEMPTS - 1:
                break
            await self._clock.sleep(delay)
        if answer.status >= 400:
            raise error_of(answer.status, data)
        return data

    async def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        async with clocks.timeout(self._clock, TIMEOUT):
            connection, answer = await self._send("GET", path, {**query, "watch": "true"}, None, "")
        try:
            if answer.status >= 400:
                raise error_of(answer.status, await answer.read())
            rest = b""
            async for chunk in answer.chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                batch = [_event(line) for line in lines if line.strip()]
                if batch:
                    yield batch
        finally:
            connection.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, content_type: str
    ) -> tuple[HttpConnection, HttpAnswer]:
        if self._closed:
            raise ConnectionError("the transport is closed")
        target = self._prefix + quote(path, safe="/:@!$&'()*+,;=~-._%")
        if query:
            target += "?" + urlencode(query)
        headers = list(self._headers)
        if body is not None:
            headers.append(("Content-Type", content_type))
        if token := self._bearer():
            headers.append(("Authorization", f"Bearer {token}"))
        while self._idle:
            connection = self._idle.pop()
            if connection.closed:
                connection.close()
                continue
            try:
                return connection, await connection.request(method, target, headers, body)
            except ConnectionError:
                connection.close()
                if method not in ("GET", "HEAD", "PUT", "DELETE"):
                    raise  # it may have been done
            except BaseException:
                connection.close()
                raise
        connection = await HttpConnection.connect(
            self._host, self._port, self._tls, server_name=self._credentials.server_name or None
        )
        _find_dead_peers(connection)
        try:
            return connection, await connection.request(method, target, headers, body)
        except BaseException:
            connection.close()
            raise

    def _give_back(self, connection: HttpConnection, answer: HttpAnswer) -> None:
        if answer.keep_alive and not self._closed and len(self._idle) < POOL:
            self._idle.append(connection)
        else:
            connection.close()

    def _bearer(self) -> str:
        file = self._credentials.token_file
        if file is not None and self._clock.monotonic() - self._token_read > TOKEN_SECONDS:
            self.token = file.read_text().strip()
            self._token_read = self._clock.monotonic()
        return self.token

    def use_new_files(self) -> None:
        """From the next connection on, show the certificate that is in the credentials' files now. Raises OSError."""
        if self._tls is not None:
            self._tls = tls_context(self._credentials)
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _find_dead_peers(connection: HttpConnection) -> None:
    """Have the kernel end the connection within a minute of the peer's machine being gone without a word: a watch
    sends nothing, and would wait for ever."""
    sock: socket.socket | None = connection.writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _event(line: bytes) -> WatchEvent:
    raw = orjson.loads(line)
    if raw["type"] == "ERROR":
        raise ApiError.from_status(raw["object"])
    return WatchEvent(raw["type"], raw["object"])


def retry_after(answer: HttpAnswer) -> float | None:
    """Seconds to wait before the same request is sent again; None if the server does not ask for that: it has not
    begun to work on one that it answers so."""
    text = answer.headers.get("retry-after", "")
    if (answer.status == 429 or answer.status >= 500) and text.isascii() and text.isdecimal():
        return float(min(int(text[:6]), LONGEST_WAIT))
    return None


def error_of(status: int, data: bytes) -> ApiError:
    """The error that an answer tells of, a Status or not."""
    try:
        obj: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        obj = None
    if isinstance(obj, dict) and obj.get("kind") == "Status":
        return ApiError.from_status(obj)
    reason = "NotFound" if status == 404 else ""  # a group or version that is not served is answered in plain text
    return ApiError(status, reason, data.decode("utf-8", "replace").strip() or f"the server answered {status}")


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """Verifies the server by the given authority (else the system's), shows the client certificate. Raises OSError."""
    authority = credentials.authority
    context = ssl.create_default_context(
        cafile=str(authority) if isinstance(authority, Path) else None,
        cadata=authority if isinstance(authority, str) else None,
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if credentials.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = credentials.certificate, credentials.key
    if isinstance(certificate, str) or isinstance(key, str):
        # OpenSSL's binding takes only files: these live as long as the call.
        with tempfile.TemporaryDirectory(prefix="pinnace-") as directory:
            context.load_cert_chain(
                _as_file(certificate, Path(directory) / "certificate"), _as_file(key, Path(directory) / "key")
            )
    elif certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def _as_file(pem: Path | str | None, path: Path) -> Path:
    if pem is None or isinstance(pem, Path):
        return pem or path
    path.touch(mode=0o600)
    path.write_text(pem)
    return path


def from_kubeconfig(path: Path, context: str = "") -> Credentials:
    """The server and user of a kubeconfig's (current) context. Raises OSError, ValueError for one that does not say
    enough."""
    import yaml

    config: Any = yaml.safe_load(path.read_text())
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a kubeconfig")
    chosen = _named(path, config, "contexts", "context", context or config.get("current-context") or "")
    cluster = _named(path, config, "clusters", "cluster", chosen.get("cluster", ""))
    user = _named(path, config, "users", "user", chosen.get("user", ""))
    base = path.parent
    return Credentials(
        server=str(cluster.get("server") or ""),
        authority=_pem(base, cluster, "certificate-authority"),
        certificate=_pem(base, user, "client-certificate"),
        key=_pem(base, user, "client-key"),
        token=str(user.get("token") or ""),
        token_file=base / user["tokenFile"] if user.get("tokenFile") else None,
        server_name=str(cluster.get("tls-server-name") or ""),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _named(path: Path, config: Mapping[str, Any], section: str, field: str, name: str) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return cast(Mapping[str, Any], entry.get(field) or {})
    raise ValueError(f"{path}: there is no {field} {name!r}")


def _pem(base: Path, section: Mapping[str, Any], field: str) -> Path | str | None:
    if inline := section.get(f"{field}-data"):
        return base64.b64decode(inline).decode()
    return base / section[field] if section.get(field) else None
