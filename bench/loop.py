"""How long the event loop is held at most: the CPU time that its thread spends between two turns of a 1 ms timer.

CPU time, because the load's own processes share the cores: what the scheduler takes away is not held by us. Run as a
module it is the server: ``pinnace`` with the probe in its loop; SIGUSR1 makes it write what it has seen and begin anew.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from bench import cluster as clusters
from bench import fanout
from bench.cluster import Running
from bench.requests import CREATE, pod, prepare, wrk

OUT = "BENCH_LOOP_FILE"
LOADS = (
    "500 watches, patches",
    "creates, 32 connections",
    "LIST of them",
    "LIST by label",
    "LIST as a table",
    "GET of 1 MB as YAML",
    "JSON of many keys, 3 MB",
    "JSON of many objects, 3 MB",
    "YAML of many keys, 3 MB",
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Probe:
    """In the server's process."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._longest = 0.0
        self._last = time.thread_time()
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGUSR1, self._report)
        self._tick()

    def _tick(self) -> None:
        now = time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        self._loop.call_later(0.001, self._tick)

    def _report(self) -> None:
        part = self._out.with_suffix(".part")
        part.write_text(f"{self._longest * 1000:.3f}")
        part.rename(self._out)
        self._longest = 0.0


def serve() -> int:
    """``pinnace`` with the arguments of this process, probed."""
    import uvloop

    from pinnace.cli.main import main

    run = uvloop.run

    def probed(work: Coroutine[Any, Any, Any], **more: Any) -> Any:
        async def with_probe() -> Any:
            probe = Probe(Path(os.environ[OUT]))
            try:
                return await work
            finally:
                del probe

        return run(with_probe(), **more)

    uvloop.run = probed
    return main()


def held(running: Running, out: Path, load: Callable[[], object]) -> float:
    """Milliseconds that the loop was held at most during ``load``."""
    _ask(running, out)
    load()
    return _ask(running, out)


def _ask(running: Running, out: Path) -> float:
    out.unlink(missing_ok=True)
    running.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not out.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the probe does not answer")
        time.sleep(0.01)
    return float(out.read_text())


def post(connection: http.client.HTTPConnection, path: str, body: bytes, content_type: str) -> None:
    """Whatever the answer is: some bodies are larger than an object may be."""
    connection.request("POST", path, body, {"Content-Type": content_type})
    connection.getresponse().read()


def bodies() -> dict[str, tuple[str, bytes, str]]:
    """What is named -> path, body of about 3 MB, content type."""
    maps = "/api/v1/namespaces/default/configmaps"
    keys = {f"key-{n:06}": "a value of some length" for n in range(70_000)}
    large = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}}
    wide = json.dumps({**large, "data": keys}).encode()
    env = [{"name": f"SETTING_{n}", "value": "a value of some length, as there are"} for n in range(40_000)]
    container = {"name": "main", "image": "app:1", "env": env}
    deep = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large"}, "spec": {"containers": [container]}}
    lines = "\n".join(f"  {key}: {value}" for key, value in keys.items())
    yaml = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: large}}\ndata:\n{lines}\n".encode()
    return {
        "JSON of many keys, 3 MB": (maps, wide, "application/json"),
        "JSON of many objects, 3 MB": (
            "/api/v1/namespaces/default/pods",
            json.dumps(deep).encode(),
            "application/json",
        ),
        "YAML of many keys, 3 MB": (maps, yaml, "application/yaml"),
    }


def figures() -> Iterator[tuple[str, float]]:
    """(figure, milliseconds)."""
    command, clusters.PINNACE = clusters.PINNACE, [sys.executable, "-m", "bench.loop"]
    out = Path(os.environ.get("TMPDIR", "/tmp")) / f"pinnace-loop-{os.getpid()}"
    os.environ[OUT] = str(out)
    try:
        with clusters.cluster("--parts", "apiserver") as running:
            yield from _figures(running, out)
    finally:
        clusters.PINNACE = command
        out.unlink(missing_ok=True)


def _figures(running: Running, out: Path) -> Iterator[tuple[str, float]]:
    prepare(running, 32)
    pods, maps = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/configmaps"
    data = {f"key-{n:06}": "a value of some length" for n in range(25_000)}
    running.request("POST", maps, {"metadata": {"name": "whole"}, "data": data})
    create = CREATE % json.dumps(pod("NAME"))
    loads: dict[str, Callable[[], object]] = {
        "500 watches, patches": lambda: fanout.measure(running, 500),
        "creates, 32 connections": lambda: wrk(running, pods, 32, create),
        "LIST of them": lambda: wrk(running, pods, 4),
        "LIST by label": lambda: wrk(running, f"{pods}?labelSelector=tier%3Dbackend", 2),
        "LIST as a table": lambda: _get(running, pods, f"Accept: {TABLE}"),
        "GET of 1 MB as YAML": lambda: _get(running, f"{maps}/whole", "Accept: application/yaml"),
    }
    for name, load in loads.items():
        yield f"loop held, {name}", held(running, out, load)
    for name, (path, body, content_type) in bodies().items():
        connection = running.connect()
        yield f"loop held, {name}", held(running, out, lambda: post(connection, path, body, content_type))  # noqa: B023
        connection.close()


def _get(running: Running, path: str, *headers: str) -> None:
    connection = running.connect()
    connection.request("GET", path, headers=dict(header.split(": ", 1) for header in headers))
    connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    sys.exit(serve())
