"""The health endpoint of a part that runs as a process of its own: ``/healthz`` over HTTPS, as upstream's parts have.

The certificate is made for the process and signed by nobody: probes do not verify it.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import Clock
from pinnace.kubelet.server.http import Answer, HttpServer, Refusal, Request

_PATHS = frozenset(("/healthz", "/livez", "/readyz"))


class HealthServer:
    """Says "ok" while the process lives."""

    name = "health"

    def __init__(self, clock: Clock, host: str, port: int) -> None:
        self._clock = clock
        self._host = host
        self._port = port
        self._http: HttpServer | None = None

    async def start(self) -> None:
        """Raises ClusterError."""
        http = HttpServer(_handle, self._clock, self_signed(self._clock, self._host))
        try:
            await http.listen(self._host, self._port)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            why = f"cannot serve /healthz on {where}: {error.strerror or error}; choose another --secure-port (0: none)"
            raise ClusterError(Exit.PORT_TAKEN, why) from error
        self._http = http

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.stop()
            self._http = None


async def _handle(request: Request) -> Answer:
    if request.path not in _PATHS:
        raise Refusal(404, "404 page not found")
    return Answer(body=b"ok")


def self_signed(clock: Clock, *names: str) -> ssl.SSLContext:
    """A server's context with a certificate of its own for ``names``."""
    from pinnace.cluster import x509make

    key = x509make.new_key()
    now, year = clock.now(), 365 * 86400.0
    authority_key = x509make.new_key()
    authority = x509make.make_authority(authority_key, f"{names[0]}-ca@{int(now)}", now, year)
    certificate = x509make.make_leaf(
        key,
        authority,
        authority_key,
        common_name=f"{names[0]}@{int(now)}",
        organizations=(),
        sans=frozenset(names),
        server=True,
        client=False,
        now=now,
        lifetime=year,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="pinnace-") as directory:  # OpenSSL's binding takes only files
        pem = Path(directory) / "pem"
        pem.touch(mode=0o600)
        pem.write_bytes(x509make.certificate_pem(certificate) + x509make.key_pem(key))
        context.load_cert_chain(pem)
    return context
