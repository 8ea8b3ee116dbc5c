"""A webhook for tests: an HTTPS server of its own authority, whose answers the test decides."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: From the request of a review to its response, without the uid.
Answer = Callable[[Any], dict[str, Any]]
ALLOW: dict[str, Any] = {"allowed": True}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """The response that asks for a JSON patch."""
    return {**ALLOW, "patchType": "JSONPatch", "patch": b64encode(json.dumps(operations).encode()).decode()}


def deny(message: str, code: int = 403, **status: Any) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": message, "code": code, **status}}


class Authority:
    """A certificate authority; ``bundle`` is what a webhook's ``caBundle`` holds."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._made("webhook authority", self._key, (), authority=True)
        self.bundle = b64encode(self._certificate.public_bytes(serialization.Encoding.PEM)).decode()

    def _made(
        self, name: str, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...], *, authority: bool = False
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if authority else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            alternatives = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def context(self, *names: str) -> ssl.SSLContext:
        """For a server of these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._made("webhook", key, names)
        file = self._directory / f"{certificate.serial_number}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


class Webhook:
    """A running webhook. ``answers`` decides by path, ``requests`` are those it has got."""

    def __init__(self, authority: Authority, port: int, context: ssl.SSLContext) -> None:
        self.authority = authority
        self.port = port
        self.context = context
        self.answers: dict[str, Answer] = {}
        #: Whole bodies to send instead, and their status code.
        self.raw: dict[str, tuple[int, bytes]] = {}
        self.requests: list[Any] = []
        self.headers: list[Any] = []
        self.connections = 0
        self.hang = threading.Event()
        #: Whether connections are closed behind their next answer, which does not say so.
        self.drop = False

    def config(self, path: str = "/") -> dict[str, Any]:
        """A clientConfig."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.authority.bundle}

    def of(self, name: str) -> list[Any]:
        """The requests about objects of that name."""
        return [request for request in self.requests if request.get("name") == name]

    def answer(self, path: str, review: Any) -> tuple[int, bytes]:
        if path in self.raw:
            return self.raw[path]
        request = review["request"]
        self.requests.append(request)
        response = {"uid": request["uid"], **self.answers[path](request)}
        whole = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}
        return 200, json.dumps(whole).encode()


def _handler(webhook: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            webhook.connections += 1
            super().setup()

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            webhook.headers.append(self.headers)
            status, body = webhook.answer(self.path.partition("?")[0], review)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = webhook.drop

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests print what failed."""

    return Handler


class _Server(ThreadingHTTPServer):
    """TLS begins in the thread of its connection: who does not finish it holds up nobody."""

    daemon_threads = True
    block_on_close = False
    webhook: Webhook

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            secured = self.webhook.context.wrap_socket(request, server_side=True)
        except OSError:  # the client does not trust us: what a test wants to see
            return
        try:
            super().finish_request(secured, client_address)
        except OSError:
            return
        finally:
            secured.close()


@contextmanager
def serving(directory: Path, *names: str) -> Iterator[Webhook]:
    """A webhook on 127.0.0.1, with a certificate for that and for ``names``."""
    authority = Authority(directory)
    with _Server(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        webhook = Webhook(authority, server.server_port, authority.context("127.0.0.1", *names))
        server.webhook = webhook
        server.RequestHandlerClass = _handler(webhook)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield webhook
        finally:
            webhook.hang.set()
            server.shutdown()
            thread.join()
