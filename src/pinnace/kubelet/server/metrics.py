"""``/metrics/resource`` and ``/metrics``: a node's counters in Prometheus' text format."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from pinnace import KUBERNETES_VERSION
from pinnace.api import meta
from pinnace.core.clock import Clock
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.runtime.base import RUNNING

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
#: Labels and value of one line, and the time of it in milliseconds (0 for none).
Line: TypeAlias = tuple[dict[str, str], float, int]

_RESOURCES = {
    "container_cpu_usage_seconds_total": (
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    ),
    "container_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the container in bytes"),
    "container_start_time_seconds": ("gauge", "[STABLE] Start time of the container since unix epoch in seconds"),
    "node_cpu_usage_seconds_total": ("counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds"),
    "node_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the node in bytes"),
    "pod_cpu_usage_seconds_total": ("counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"),
    "pod_memory_working_set_bytes": ("gauge", "[STABLE] Current working set of the pod in bytes"),
    "resource_scrape_error": (
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    ),
    "scrape_error": ("gauge", "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise"),
}


def resources(managers: Sequence[PodManager], clock: Clock) -> bytes:
    """What the node, its Pods and their containers use."""
    lines: dict[str, list[Line]] = {name: [] for name in _RESOURCES}
    failed = 0
    for manager in managers:
        try:
            _collect(manager, round(clock.now() * 1000), lines, alone=len(managers) == 1)
        except (OSError, ValueError):
            failed = 1
    for name in ("scrape_error", "resource_scrape_error"):
        lines[name] = [({}, failed, 0)]
    return b"".join(render(name, *_RESOURCES[name], lines[name]) for name in sorted(_RESOURCES) if lines[name])


def _collect(manager: PodManager, now: int, lines: dict[str, list[Line]], *, alone: bool) -> None:
    """``alone``: the server is this node's and no other's; the lines of nodes say nothing of which."""
    stats = manager.stats
    if stats is None:
        return
    if alone:
        node = stats.node()
        lines["node_cpu_usage_seconds_total"].append(({}, node.cpu_nanoseconds / 1e9, now))
        lines["node_memory_working_set_bytes"].append(({}, node.working_set, now))
    for worker in manager.workers():
        uid = meta.uid(worker.pod)
        pod = {"namespace": meta.namespace(worker.pod), "pod": meta.name(worker.pod)}
        for container in worker.state.containers:
            usage = stats.container(uid, container.id) if container.state == RUNNING else None
            if usage is None:
                continue
            labels = {"container": container.name, **pod}
            lines["container_cpu_usage_seconds_total"].append((labels, usage.cpu_nanoseconds / 1e9, now))
            lines["container_memory_working_set_bytes"].append((labels, usage.working_set, now))
            lines["container_start_time_seconds"].append((labels, container.started_at, 0))
        if (whole := stats.pod(uid)) is not None:
            lines["pod_cpu_usage_seconds_total"].append((pod, whole.cpu_nanoseconds / 1e9, now))
            lines["pod_memory_working_set_bytes"].append((pod, whole.working_set, now))


def own(managers: Sequence[PodManager]) -> bytes:
    """What the kubelet says of itself."""
    states: Counter[str] = Counter()
    running = 0
    for manager in managers:
        for worker in manager.workers():
            states.update(container.state for container in worker.state.containers)
            running += any(box.ready for box in worker.state.sandboxes)
    version = {"git_version": KUBERNETES_VERSION, "platform": f"linux/{os.uname().machine}"}
    found: list[tuple[str, str, str, list[Line]]] = [
        (
            "kubelet_node_name",
            "gauge",
            "[ALPHA] The node's name. The count is always 1.",
            [({"node": manager.node_name}, 1, 0) for manager in managers],
        ),
        (
            "kubelet_running_containers",
            "gauge",
            "[ALPHA] Number of containers currently running",
            [({"container_state": state}, number, 0) for state, number in sorted(states.items())],
        ),
        ("kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox", [({}, running, 0)]),
        ("kubernetes_build_info", "gauge", "[ALPHA] A metric with a constant '1' value.", [(version, 1, 0)]),
        *_process(),
    ]
    return b"".join(render(*entry) for entry in found if entry[3])


def _process() -> Iterable[tuple[str, str, str, list[Line]]]:
    used = os.times()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(os.listdir("/proc/self/fd"))
    yield (
        "process_cpu_seconds_total",
        "counter",
        "[STABLE] Total user and system CPU time spent in seconds.",
        [({}, used.user + used.system, 0)],
    )
    yield "process_open_fds", "gauge", "[STABLE] Number of open file descriptors.", [({}, files, 0)]
    yield (
        "process_resident_memory_bytes",
        "gauge",
        "[STABLE] Resident memory size in bytes.",
        [({}, pages * os.sysconf("SC_PAGE_SIZE"), 0)],
    )


def render(name: str, kind: str, explained: str, lines: Iterable[Line]) -> bytes:
    """One metric with its lines."""
    text = [f"# HELP {name} {explained}", f"# TYPE {name} {kind}"]
    for labels, value, when in lines:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        number = str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
        text.append(f"{name}{{{shown}}} {number}" if shown else f"{name} {number}")
        if when:
            text[-1] += f" {when}"
    return ("\n".join(text) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
