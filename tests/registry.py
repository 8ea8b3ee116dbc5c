"""An image registry for tests: the read side of the OCI distribution API over plain HTTP, for the images in OCI layout
tarballs. What is in ``private/`` is for ``PRIVATE_USER`` with ``PRIVATE_PASSWORD`` only.
``python -m tests.registry PORT ARCHIVE...`` prints ``ready`` when it listens on 127.0.0.1."""

from __future__ import annotations

import base64
import json
import re
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PRIVATE_USER, PRIVATE_PASSWORD = "ann", "s3cret"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry(ThreadingHTTPServer):
    def __init__(self, port: int, archives: list[Path]) -> None:
        self.blobs: dict[str, bytes] = {}
        self.tags: dict[tuple[str, str], str] = {}
        for archive in archives:
            self._load(archive)
        super().__init__(("127.0.0.1", port), Handler)

    def _load(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if member.name.startswith("blobs/sha256/") and content is not None:
                    self.blobs["sha256:" + member.name.rpartition("/")[2]] = content.read()
            index = archive.extractfile("index.json")
            assert index is not None
            for entry in json.loads(index.read())["manifests"]:
                name, _, tag = entry["annotations"]["io.containerd.image.name"].partition("/")[2].rpartition(":")
                self.tags[name, tag] = entry["digest"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        wanted = "Basic " + base64.b64encode(f"{PRIVATE_USER}:{PRIVATE_PASSWORD}".encode()).decode()
        if path.startswith("/v2/private/") and self.headers.get("Authorization") != wanted:
            self._refuse()
        elif path == "/v2/":
            self._answer(b"{}", "application/json", "")
        elif found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            digest = found[2] if ":" in found[2] else self.server.tags.get((found[1], found[2]), "")
            self._blob(digest, MANIFEST)
        elif found := re.fullmatch(r"/v2/.+/blobs/([^/]+)", path):
            self._blob(found[1], "application/octet-stream")
        else:
            self._missing()

    do_HEAD = do_GET

    def _blob(self, digest: str, media_type: str) -> None:
        content = self.server.blobs.get(digest)
        if content is None:
            self._missing()
        else:
            self._answer(content, media_type, digest)

    def _refuse(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _missing(self) -> None:
        body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        self._answer(body, "application/json", "", 404)

    def _answer(self, body: bytes, media_type: str, digest: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    registry = Registry(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    registry.serve_forever()
