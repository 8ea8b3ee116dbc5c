"""Requests per second over TLS, driven by wrk: GET, LIST, durable create and patch."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import nginx
from bench.cluster import Running, cluster

SECONDS = 5
CONTAINER = {
    "name": "main",
    "image": "registry.example.com/team/application:1.2.3",
    "ports": [{"containerPort": 8080, "name": "http"}],
    "env": [{"name": f"SETTING_{n}", "value": "a value of some length, as there are"} for n in range(4)],
    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
}
API_SERVER_ONLY = ("--parts", "apiserver")


def pod(name: str) -> dict[str, object]:
    """A Pod of the usual size: about 3.2 KB as stored."""
    labels = {"app.kubernetes.io/name": "application", "app.kubernetes.io/instance": "bench", "tier": "backend"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [CONTAINER]}}


def prepare(running: Running, pods: int) -> None:
    running.token = running.bearer_token()
    for number in range(pods):
        running.request("POST", "/api/v1/namespaces/default/pods", pod(f"p{number}"))


def wrk(
    running: Running,
    path: str,
    connections: int,
    script: str = "",
    seconds: int = SECONDS,
    headers: Sequence[str] = (),
) -> float:
    """Successful requests per second."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is missing: hack/install-components --tests")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Authorization: Bearer {running.token}"]
    for header in headers:
        command += ["-H", header]
    with tempfile.TemporaryDirectory() as folder:
        if script:
            file = Path(folder) / "script.lua"
            file.write_text(script)
            command += ["-s", str(file)]
        done = subprocess.run(
            [*command, f"https://{running.host}:{running.port}{path}"], capture_output=True, text=True, check=True
        )
    if errors := re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout):
        raise RuntimeError(f"{path}: {errors[0]}\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def get_pod() -> float:
    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 1)
        return wrk(running, "/api/v1/namespaces/default/pods/p0", 16)


def list_pods() -> Iterator[tuple[str, float]]:
    """As it is; as clients of Kubernetes ask for it, compressed; and as it is, by nginx in the same minute."""
    path = "/api/v1/namespaces/default/pods"
    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 1000)
        rate = wrk(running, path, 4)
        yield "LIST 1,000 Pods", rate
        yield "LIST 1,000 Pods, compressed", wrk(running, path, 4, headers=("Accept-Encoding: gzip",), seconds=2)
        if nginx.installed():
            connection = running.connect()
            connection.request("GET", path)
            with nginx.serving(running, connection.getresponse().read()) as other:
                yield "LIST 1,000 Pods, of nginx's", rate / wrk(other, "/body", 4)
            connection.close()


CREATE = """
local n = 0
local body = [==[%s]==]
request = function()
  n = n + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json",
    ["Authorization"] = wrk.headers["Authorization"]}, (body:gsub("NAME", "c" .. n)))
end
"""
PATCH = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("PATCH", "/api/v1/namespaces/default/pods/p" .. (n % 32),
    {["Content-Type"] = "application/merge-patch+json", ["Authorization"] = wrk.headers["Authorization"]},
    '{"metadata":{"annotations":{"count":"' .. n .. '"}}}')
end
"""


def create_pods() -> float:
    """Durable creates per second on SQLite with 32 connections."""
    import json

    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 0)
        return wrk(running, "/api/v1/namespaces/default/pods", 32, CREATE % json.dumps(pod("NAME")))


def patch_pods() -> float:
    """Durable merge patches per second on SQLite with 32 connections."""
    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 32)
        return wrk(running, "/api/v1/namespaces/default/pods/p0", 32, PATCH)
