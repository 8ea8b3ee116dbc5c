"""``python -m bench [NAME ...]``: measure and print one JSON line per figure beside the design's budget.

Without names everything is measured, which takes about three minutes; a measurement that takes longer than ``LIMIT``
seconds is given up, and the rest is measured all the same.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import etcd, fanout, loop, requests, scale, services, startup

LIMIT = 60
#: figure -> (unit, budget, whether more is better)
BUDGETS: dict[str, tuple[str, float, bool]] = {
    "command to /readyz": ("s", 0.5, False),
    "command to first Pod Ready, simulated": ("s", 0.8, False),
    "command to first Pod Ready, containerd": ("s", 2.0, False),
    "container start through the kubelet": ("s", 0.17, False),
    "container start, of a raw one": ("ratio", 1.5, False),
    "50 Pods at once": ("s", 5.0, False),
    "CPU of each of 50 Pods at once": ("ms", 200.0, False),
    **{
        f"endpoint change, {shape} of 10,000 in all, {which}": ("ms", 5.0, False)
        for shape in services.SHAPES
        for which in ("median", "99th percentile", "CPU")
    },
    "idle memory": ("MB", 120.0, False),
    "idle CPU": ("% of one core", 0.5, False),
    "GET one Pod": ("/s", 20000.0, True),
    "LIST 1,000 Pods": ("/s", 400.0, True),
    "LIST 1,000 Pods, compressed": ("/s", 400.0, True),
    "LIST 1,000 Pods, of nginx's": ("ratio", 1.0, True),
    "create Pods, durable": ("/s", 4000.0, True),
    "merge patch Pods, durable": ("/s", 3000.0, True),
    "watch fan-out, 100 watchers": ("events/s", 100000.0, True),
    "watch fan-out, 500 watchers": ("events/s", 100000.0, True),
    "simulated nodes made ready": ("/s", 1500.0, True),
    "simulated Pods made ready": ("/s", 2000.0, True),
    "memory of 5,000 nodes and 5,000 Pods": ("MB", 250.0, False),
    **{f"loop held, {load}": ("ms", 10.0, False) for load in loop.LOADS},
    # The peer's rates, kube-apiserver's on the same etcd; and what is left of our own on SQLite.
    "etcd: create Pods, durable": ("/s", 1390.0, True),
    "etcd: create Pods, durable, of SQLite's": ("ratio", 0.6, True),
    "etcd: GET one Pod": ("/s", 4430.0, True),
    "etcd: GET one Pod, of SQLite's": ("ratio", 0.5, True),
    "etcd: GET one Pod, resourceVersion=0": ("/s", 4430.0, True),
    "etcd: GET one Pod, resourceVersion=0, of SQLite's": ("ratio", 0.9, True),
    "etcd: watch fan-out, 100 watchers": ("events/s", 25000.0, True),
    "etcd: watch fan-out, 100 watchers, of SQLite's": ("ratio", 0.8, True),
}


def idle() -> Iterator[tuple[str, float]]:
    memory, cpu = startup.at_rest()
    yield "idle memory", memory
    yield "idle CPU", cpu


def many() -> Iterator[tuple[str, float]]:
    nodes, pods, memory = scale.figures()
    yield "simulated nodes made ready", nodes
    yield "simulated Pods made ready", pods
    yield "memory of 5,000 nodes and 5,000 Pods", memory


def one(name: str, measure: Callable[[], float]) -> Callable[[], Iterator[tuple[str, float]]]:
    def figures() -> Iterator[tuple[str, float]]:
        yield name, measure()

    return figures


def can_run_containers() -> bool:
    from pinnace.cluster import machine

    if missing := machine.inspect().missing:
        print(f"containerd: left out, this machine lacks {', '.join(missing)}", file=sys.stderr)
    return not missing


def real_pod() -> Iterator[tuple[str, float]]:
    if not can_run_containers():
        return
    from tests import images

    with tempfile.TemporaryDirectory() as folder:
        archive = images.busybox(Path(folder), ["docker.io/library/busybox:bench"])
        yield "command to first Pod Ready, containerd", startup.to_first_pod("containerd", "busybox:bench", archive)


def container_starts() -> Iterator[tuple[str, float]]:
    if not can_run_containers():
        return
    from bench import containers

    through, raw, together, cpu = containers.starts()
    yield "container start through the kubelet", through
    yield "container start, of a raw one", through / raw
    yield "50 Pods at once", together
    yield "CPU of each of 50 Pods at once", cpu * 1000


def service_changes() -> Iterator[tuple[str, float]]:
    if not can_run_containers():
        return
    for shape, counts in services.SHAPES.items():
        times = services.changes(*counts)
        yield f"endpoint change, {shape} of 10,000 in all, median", times.median
        yield f"endpoint change, {shape} of 10,000 in all, 99th percentile", times.high
        yield f"endpoint change, {shape} of 10,000 in all, CPU", times.cpu


MEASUREMENTS: dict[str, Callable[[], Iterator[tuple[str, float]]]] = {
    "readyz": one("command to /readyz", startup.to_readyz),
    "simulated": one("command to first Pod Ready, simulated", lambda: startup.to_first_pod("simulated")),
    "containerd": real_pod,
    "containers": container_starts,
    "services": service_changes,
    "idle": idle,
    "memory": many,
    "get": one("GET one Pod", requests.get_pod),
    "list": requests.list_pods,
    "create": one("create Pods, durable", requests.create_pods),
    "patch": one("merge patch Pods, durable", requests.patch_pods),
    "fanout100": one("watch fan-out, 100 watchers", lambda: fanout.fan_out(100)),
    "loop": loop.figures,
    "etcd": etcd.figures,
    "etcd-fanout": etcd.fan_out,
    "fanout500": one("watch fan-out, 500 watchers", lambda: fanout.fan_out(500)),
}


def main(wanted: list[str]) -> int:
    if unknown := set(wanted) - set(MEASUREMENTS):
        print(
            f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}", file=sys.stderr
        )
        return 2
    given_up, began = 0, time.monotonic()
    for name in wanted or MEASUREMENTS:
        try:
            with limited(name):
                for figure, value in MEASUREMENTS[name]():
                    report(figure, value)
        except TimeoutError as error:
            print(error, file=sys.stderr)
            given_up += 1
    print(f"measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if given_up else 0


@contextmanager
def limited(name: str) -> Iterator[None]:
    """Raise TimeoutError in the body after ``LIMIT`` seconds: what it started, it still ends."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError(f"{name}: given up after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def report(figure: str, value: float) -> None:
    unit, budget, more = BUDGETS[figure]
    met = value >= budget if more else value <= budget
    line = {"figure": figure, "value": round(value, 3), "unit": unit, "budget": budget, "met": met}
    print(json.dumps({**line, "cores": os.cpu_count()}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
