"""A Pinnace of its own for one measurement: its data directory, its port, its process, and raw access to its API."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PINNACE = [str(Path(sys.executable).parent / "pinnace")]


@dataclass(slots=True)
class Running:
    """A started cluster. ``started`` is when its command was given, on time.perf_counter."""

    directory: Path
    process: subprocess.Popen[bytes]
    started: float
    host: str = ""
    port: int = 0
    token: str = ""
    context: ssl.SSLContext | None = None

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=30)

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        connection = self.connect()
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, {"Content-Type": content_type})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content) if "json" in (answer.getheader("Content-Type") or "") else content

    def ready(self) -> bool:
        try:
            return bool(self.request("GET", "/readyz") == b"ok")
        except (OSError, RuntimeError, http.client.HTTPException):
            return False

    def use_kubeconfig(self) -> None:
        """Take address and credentials from the kubeconfig that the command wrote."""
        import yaml

        config = yaml.safe_load((self.directory / "kubeconfig").read_text())
        server = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self.host, _, port = server["server"].removeprefix("https://").rpartition(":")
        self.port = int(port)
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(server["certificate-authority-data"]).decode()
        )
        pair = self.directory / "client.pem"
        pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        self.context.load_cert_chain(pair)

    def bearer_token(self) -> str:
        """A service account's token that may do everything, for load generators without client certificates."""
        self.request(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {
                "metadata": {"name": "bench"},
                "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "bench", "namespace": "default"}],
            },
        )
        self.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bench"}})
        answer = self.request("POST", "/api/v1/namespaces/default/serviceaccounts/bench/token", {"spec": {}})
        return str(answer["status"]["token"])


@contextmanager
def cluster(*arguments: str, wait: bool = True) -> Iterator[Running]:
    """Start ``pinnace up`` on an empty directory; with ``wait``, until /readyz answers 200."""
    with tempfile.TemporaryDirectory(prefix="pinnace-bench-") as folder:
        directory = Path(folder)
        command = [*PINNACE, "up", "--data-dir", str(directory / "data"), "--listen", "127.0.0.1:0"]
        command += ["--kubeconfig", str(directory / "kubeconfig"), *arguments]
        with (directory / "log").open("wb") as log:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        running = Running(directory, process, started)
        try:
            if wait:
                wait_ready(running)
            yield running
        finally:
            process.terminate()
            process.wait(30)


def wait_ready(running: Running, limit: float = 30.0) -> float:
    """Seconds from the command to the first /readyz that answered 200."""
    while time.perf_counter() - running.started < limit:
        if running.process.poll() is not None:
            raise RuntimeError("pinnace up ended:\n" + (running.directory / "log").read_text())
        if not running.host:
            if not (running.directory / "kubeconfig").exists():
                time.sleep(0.002)
                continue
            running.use_kubeconfig()
        if running.ready():
            return time.perf_counter() - running.started
        time.sleep(0.01)  # each look is a TLS handshake, on the core that is being measured
    raise RuntimeError("not ready:\n" + (running.directory / "log").read_text())
