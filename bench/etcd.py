"""The API server on etcd beside the same on SQLite, in one run: durable creates, GETs and watch fan-out.

A GET is consistent: it has seen everything that any API server had answered. One with resourceVersion=0 need not be.
etcd is a process of its own with its data on the same disk, synced as etcd does by default.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import fanout
from bench.cluster import Running, cluster
from bench.requests import API_SERVER_ONLY, CREATE, pod, prepare, wrk

SECONDS = 4
POD = "/api/v1/namespaces/default/pods/p0"


@contextmanager
def on_etcd() -> Iterator[Running]:
    from tests.etcd import Etcd

    with tempfile.TemporaryDirectory(prefix="pinnace-bench-") as folder:
        etcd = Etcd(Path(folder)).start()
        try:
            with cluster(*API_SERVER_ONLY, "--store", etcd.url) as running:
                yield running
        finally:
            etcd.stop()


def requests_per_second(running: Running) -> tuple[float, float, float]:
    """Creates, GETs, and GETs with resourceVersion=0."""
    prepare(running, 1)
    creates = wrk(running, "/api/v1/namespaces/default/pods", 32, CREATE % json.dumps(pod("NAME")), SECONDS)
    gets = wrk(running, POD, 16, seconds=SECONDS)
    any_gets = wrk(running, f"{POD}?resourceVersion=0", 16, seconds=SECONDS)
    return creates, gets, any_gets


def figures() -> Iterator[tuple[str, float]]:
    with cluster(*API_SERVER_ONLY) as running:
        local = requests_per_second(running)
    with on_etcd() as running:
        remote = requests_per_second(running)
    names = ("create Pods, durable", "GET one Pod", "GET one Pod, resourceVersion=0")
    for name, here, there in zip(names, local, remote, strict=True):
        yield f"etcd: {name}", there
        yield f"etcd: {name}, of SQLite's", there / here


def fan_out() -> Iterator[tuple[str, float]]:
    here = fanout.fan_out(100)
    with on_etcd() as running:
        prepare(running, 32)
        there = fanout.measure(running, 100)
    yield "etcd: watch fan-out, 100 watchers", there
    yield "etcd: watch fan-out, 100 watchers, of SQLite's", there / here
