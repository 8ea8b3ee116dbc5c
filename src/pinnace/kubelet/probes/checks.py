"""One check of a container: a request, a connection, a command. Each answers (passed, output)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

from pinnace.api.types import Object
from pinnace.core import clock as clocks
from pinnace.core.clock import Clock
from pinnace.core.http1 import HttpConnection
from pinnace.kubelet.runtime.base import Runtime, RuntimeFailure

#: Bytes of an answer that are looked at.
LIMIT = 10 * 1024
USER_AGENT = "kube-probe/1.37"


def port_of(value: int | str, spec: Object) -> int:
    """The number of a port given by number or by name. Raises ValueError."""
    if isinstance(value, int):
        return value
    for port in spec.get("ports") or ():
        if port.get("name") == value:
            return int(port["containerPort"])
    if value.isdecimal():
        return int(value)
    raise ValueError(f"couldn't find port: {value}")


async def execute(runtime: Runtime, container_id: str, command: list[str], limit: float) -> tuple[bool, str]:
    try:
        result = await runtime.exec(container_id, command, limit)
    except TimeoutError:
        return False, f'command timed out: "{" ".join(command)}" timed out after {limit:g}s'
    except RuntimeFailure as error:
        if error.code == "DEADLINE_EXCEEDED":
            return False, f'command timed out: "{" ".join(command)}" timed out after {limit:g}s'
        return False, f"rpc error: {error}"
    output = (result.stdout + result.stderr)[:LIMIT].decode(errors="replace")
    return result.exit_code == 0, output


async def tcp_connect(action: Object, spec: Object, pod_ip: str, limit: float, clock: Clock) -> tuple[bool, str]:
    try:
        host, port = str(action.get("host") or pod_ip), port_of(action["port"], spec)
    except ValueError as error:
        return False, str(error)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with clocks.timeout(clock, limit):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return False, f"dial tcp {address}: i/o timeout"
    except OSError as error:
        return False, f"dial tcp {address}: connect: {_text(error)}"
    writer.close()
    return True, ""


async def http_get(action: Object, spec: Object, pod_ip: str, limit: float, clock: Clock) -> tuple[bool, str]:
    """Passes for 200-399 (redirects are not followed off the host, and count as passed)."""
    try:
        host, port = str(action.get("host") or pod_ip), port_of(action["port"], spec)
    except ValueError as error:
        return False, str(error)
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = str(action.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{host}:{port}{path}"
    try:
        async with clocks.timeout(clock, limit):
            status, body = await _request(scheme, host, port, path, action.get("httpHeaders") or ())
    except TimeoutError:
        return False, (f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except OSError as error:
        return False, f'Get "{url}": dial tcp {host}:{port}: connect: {_text(error)}' if isinstance(
            error, ConnectionRefusedError
        ) else f'Get "{url}": {_text(error)}'
    if 200 <= status < 400:
        return True, body
    return False, f"HTTP probe failed with statuscode: {status}"


async def grpc_health(action: Object, pod_ip: str, limit: float) -> tuple[bool, str]:
    """Passes if grpc.health.v1.Health/Check answers SERVING."""
    import grpc.aio

    service = str(action.get("service") or "").encode()
    asked = b"\x0a" + bytes((len(service),)) + service if service else b""  # field 1; names have at most 127 bytes
    address = f"[{pod_ip}]:{action['port']}" if ":" in pod_ip else f"{pod_ip}:{action['port']}"
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            answer = await call(asked, timeout=limit)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return False, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return (
                    False,
                    f'timeout: failed to connect service "{address}" within {limit:g}s: context deadline exceeded',
                )
            return False, f"error: health rpc probe failed: {error.details()}"
    if answer[:2] == b"\x08\x01":
        return True, "service healthy"
    status = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}.get(answer[1] if len(answer) > 1 else 0, "UNKNOWN")
    return False, f'service unhealthy (responded with "{status}")'


def _text(error: BaseException) -> str:
    """The system's words for an error, as Go shows them."""
    import errno
    import os

    number = getattr(error, "errno", None)
    if number == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return os.strerror(number).lower() if isinstance(number, int) else (str(error) or type(error).__name__)


async def _request(scheme: str, host: str, port: int, path: str, headers: Iterable[Object]) -> tuple[int, str]:
    context = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    connection = await HttpConnection.connect(host, port, context)
    try:
        given = {h["name"].lower(): (h["name"], h.get("value", "")) for h in headers}
        given.setdefault("host", ("Host", f"{host}:{port}"))
        given.setdefault("user-agent", ("User-Agent", USER_AGENT))
        given.setdefault("accept", ("Accept", "*/*"))
        given["connection"] = ("Connection", "close")
        answer = await connection.request("GET", path, list(given.values()))
        body = b""
        async for chunk in answer.chunks():
            body += chunk
            if len(body) >= LIMIT:
                break
        return answer.status, body[:LIMIT].decode(errors="replace")
    finally:
        connection.close()
