"""``/metrics``: a few figures of this process in Prometheus' text format."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _memory() -> int:
    """Resident bytes now; the most there ever were where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def render(counters: Mapping[tuple[str, int], int], gauges: Mapping[str, float]) -> bytes:
    """``counters`` are requests by (verb, code); ``gauges`` by name, labels included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines = ["# TYPE apiserver_request_total counter"]
    lines += [
        f'apiserver_request_total{{verb="{verb}",code="{code}"}} {count}'
        for (verb, code), count in sorted(counters.items())
    ]
    lines += [
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.2f}",
        "# TYPE process_resident_memory_bytes gauge",
        f"process_resident_memory_bytes {_memory()}",
    ]
    for name, value in sorted(gauges.items()):
        lines.append(f"# TYPE {name.partition('{')[0]} gauge")
        lines.append(f"{name} {value:g}")
    return ("\n".join(lines) + "\n").encode()
